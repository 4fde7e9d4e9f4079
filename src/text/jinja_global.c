/* jinja_global.c - functions that every template sees: those of Jinja (range,
 * dict, namespace, cycler, joiner) and those of transformers
 * (raise_exception, strftime_now). */
#include "base/utf8.h"
#include "text/jinja_methods.h"

#include <time.h>

enum {
    GLOBAL_MAX_RANGE = 100000
};

/* ---- range, dict, namespace, cycler, joiner ------------------------------ */

static int global_range(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_jrange *r = qn_jrt_alloc(rt, sizeof *r);
    int64_t first = 0;

    (void)self;
    if (!r)
        return rt->rc;
    *r = (qn_jrange){.step = 1};
    QN_TRY(qn_jarg_int(rt, a->pos[0], "range() argument", &first));
    if (qn_jarg_given(a->pos[1])) {
        r->start = first;
        QN_TRY(qn_jarg_int(rt, a->pos[1], "range() argument", &r->stop));
        QN_TRY(qn_jarg_int(rt, a->pos[2], "range() argument", &r->step));
    } else {
        r->stop = first;
    }
    if (r->step == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "range() arg 3 must not be zero");
    uint64_t span = 0, step = (uint64_t)r->step;
    if (r->step > 0 && r->start < r->stop) {
        span = (uint64_t)r->stop - (uint64_t)r->start;
    } else if (r->step < 0 && r->start > r->stop) {
        span = (uint64_t)r->start - (uint64_t)r->stop;
        step = 0 - step;
    }
    uint64_t n = span ? (span - 1) / step + 1 : 0;
    if (n > GLOBAL_MAX_RANGE)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "Range too big. The sandbox blocks ranges larger "
                           "than MAX_RANGE (%d).",
                           GLOBAL_MAX_RANGE);
    r->len = (int64_t)n;
    *out = qn_jv_ptr(QN_J_RANGE, r);
    return 0;
}

static int global_fill_pairs(qn_jrt *rt, qn_jdict *d, qn_jval pairs,
                             const char *who)
{
    qn_jiter *it;
    qn_jval x;
    qn_jlist *pair;
    int rc;

    QN_TRY(qn_jv_iter(rt, pairs, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        QN_TRY(qn_jv_to_list(rt, x, &pair));
        if (pair->n != 2)
            return qn_jrt_fail(rt, QN_EINVAL, "%s() needs pairs", who);
        QN_TRY(qn_jv_dict_put(rt, d, pair->v[0], pair->v[1]));
    }
    return rc;
}

int qn_jinja_dict_fill(qn_jrt *rt, qn_jdict *d, const qn_jargs *a,
                       const char *who)
{
    if (a->n_pos > 1)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "%s() takes at most 1 positional argument", who);
    if (a->n_pos) {
        qn_jval from = a->pos[0];
        if (from.type == QN_J_DICT) {
            from.type = QN_J_VIEW;
            from.aux = QN_JVIEW_ITEMS;
        }
        QN_TRY(global_fill_pairs(rt, d, from, who));
    }
    for (uint32_t i = 0; i < a->n_kw; i++)
        QN_TRY(
            qn_jv_dict_put(rt, d, qn_jv_view(a->kw[i].name), a->kw[i].value));
    return 0;
}

static int global_new_dict(qn_jrt *rt, qn_jtype type, const qn_jargs *a,
                           const char *who, qn_jval *out)
{
    qn_jdict *d;

    QN_TRY(qn_jv_dict_new(rt, &d));
    QN_TRY(qn_jinja_dict_fill(rt, d, a, who));
    *out = qn_jv_ptr(type, d);
    return 0;
}

static int global_dict(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    (void)self;
    return global_new_dict(rt, QN_J_DICT, a, "dict", out);
}

static int global_namespace(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    (void)self;
    return global_new_dict(rt, QN_J_NS, a, "namespace", out);
}

static int global_cycler(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    qn_jcycler *c = qn_jrt_alloc(rt, sizeof *c);
    qn_jlist *l;

    (void)self;
    if (!c)
        return rt->rc;
    if (a->n_pos == 0 || a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "cycler() needs items, and no keywords");
    QN_TRY(qn_jv_list_new(rt, a->n_pos, &l));
    for (uint32_t i = 0; i < a->n_pos; i++)
        l->v[l->n++] = a->pos[i];
    *c = (qn_jcycler){.items = qn_jv_ptr(QN_J_TUPLE, l)};
    *out = qn_jv_ptr(QN_J_CYCLER, c);
    return 0;
}

static int global_joiner(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    qn_jcycler *c = qn_jrt_alloc(rt, sizeof *c);

    (void)self;
    if (!c)
        return rt->rc;
    *c = (qn_jcycler){.items = qn_jarg_given(a->pos[0]) ? a->pos[0]
                                                        : qn_jv_str(", ", 2)};
    *out = qn_jv_ptr(QN_J_JOINER, c);
    return 0;
}

/* ---- transformers -------------------------------------------------------- */

static int global_raise(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_jval s;

    (void)self, (void)out;
    QN_TRY(qn_jv_to_str(rt, a->pos[0], &s));
    size_t n = QN_MIN(s.n, 400u); /* less what is cut of a character */
    n -= qn_utf8_tail(s.u.s, n);
    return qn_jrt_fail(rt, QN_EINVAL, "%.*s", (int)n, s.u.s);
}

static const char *const global_days[] = {"Sunday",    "Monday",   "Tuesday",
                                          "Wednesday", "Thursday", "Friday",
                                          "Saturday"};
static const char *const global_months[] = {"January", "February", "March",
                                            "April",   "May",      "June",
                                            "July",    "August",   "September",
                                            "October", "November", "December"};

/* ISO 8601 week of the year. */
static int global_iso_week(const struct tm *t, int *year)
{
    int wday = (t->tm_wday + 6) % 7; /* Monday 0 */
    int week = (t->tm_yday - wday + 10) / 7;

    *year = t->tm_year + 1900;
    int y = week < 1 ? *year - 1 : *year;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    /* Weekday of December 31st of year y. */
    int days = leap ? 366 : 365;
    int last = week < 1 ? (wday - t->tm_yday - 1 + 14 * 53) % 7
                        : (wday + days - 1 - t->tm_yday) % 7;
    bool long_year = last == 3 || (last == 4 && leap);
    if (week < 1) {
        *year = y;
        return long_year ? 53 : 52;
    }
    if (week == 53 && !long_year) {
        (*year)++;
        return 1;
    }
    return week;
}

static int global_directive(qn_jrt *rt, const struct tm *t, char c, qn_jsb *sb)
{
    int hour12 = t->tm_hour % 12 ? t->tm_hour % 12 : 12, year;
    const char *day = global_days[t->tm_wday % 7];
    const char *month = global_months[t->tm_mon % 12];

    switch (c) {
    case 'a': qn_jsb_addf(sb, "%.3s", day); break;
    case 'A': qn_jsb_adds(sb, day); break;
    case 'b':
    case 'h': qn_jsb_addf(sb, "%.3s", month); break;
    case 'B': qn_jsb_adds(sb, month); break;
    case 'c':
        qn_jsb_addf(sb, "%.3s %.3s %2d %02d:%02d:%02d %d", day, month,
                    t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec,
                    t->tm_year + 1900);
        break;
    case 'C': qn_jsb_addf(sb, "%02d", (t->tm_year + 1900) / 100); break;
    case 'd': qn_jsb_addf(sb, "%02d", t->tm_mday); break;
    case 'D':
    case 'x':
        qn_jsb_addf(sb, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday,
                    t->tm_year % 100);
        break;
    case 'e': qn_jsb_addf(sb, "%2d", t->tm_mday); break;
    case 'F':
        qn_jsb_addf(sb, "%d-%02d-%02d", t->tm_year + 1900, t->tm_mon + 1,
                    t->tm_mday);
        break;
    case 'f': qn_jsb_adds(sb, "000000"); break; /* our clock has seconds */
    case 'g':
    case 'G':
        global_iso_week(t, &year);
        qn_jsb_addf(sb, c == 'g' ? "%02d" : "%d", c == 'g' ? year % 100 : year);
        break;
    case 'H': qn_jsb_addf(sb, "%02d", t->tm_hour); break;
    case 'I': qn_jsb_addf(sb, "%02d", hour12); break;
    case 'j': qn_jsb_addf(sb, "%03d", t->tm_yday + 1); break;
    case 'k': qn_jsb_addf(sb, "%2d", t->tm_hour); break;
    case 'l': qn_jsb_addf(sb, "%2d", hour12); break;
    case 'm': qn_jsb_addf(sb, "%02d", t->tm_mon + 1); break;
    case 'M': qn_jsb_addf(sb, "%02d", t->tm_min); break;
    case 'n': qn_jsb_addc(sb, '\n'); break;
    case 'p': qn_jsb_adds(sb, t->tm_hour < 12 ? "AM" : "PM"); break;
    case 'P': qn_jsb_adds(sb, t->tm_hour < 12 ? "am" : "pm"); break;
    case 'r':
        qn_jsb_addf(sb, "%02d:%02d:%02d %s", hour12, t->tm_min, t->tm_sec,
                    t->tm_hour < 12 ? "AM" : "PM");
        break;
    case 'R': qn_jsb_addf(sb, "%02d:%02d", t->tm_hour, t->tm_min); break;
    case 'S': qn_jsb_addf(sb, "%02d", t->tm_sec); break;
    case 't': qn_jsb_addc(sb, '\t'); break;
    case 'T':
    case 'X':
        qn_jsb_addf(sb, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec);
        break;
    case 'u': qn_jsb_addf(sb, "%d", t->tm_wday ? t->tm_wday : 7); break;
    case 'U': qn_jsb_addf(sb, "%02d", (t->tm_yday + 7 - t->tm_wday) / 7); break;
    case 'V': qn_jsb_addf(sb, "%02d", global_iso_week(t, &year)); break;
    case 'w': qn_jsb_addf(sb, "%d", t->tm_wday); break;
    case 'W':
        qn_jsb_addf(sb, "%02d", (t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7);
        break;
    case 'y': qn_jsb_addf(sb, "%02d", t->tm_year % 100); break;
    case 'Y': qn_jsb_addf(sb, "%d", t->tm_year + 1900); break;
    case 'z':
    case 'Z': break; /* the clock has no zone: Python prints nothing */
    case '%': qn_jsb_addc(sb, '%'); break;
    default:
        return qn_jrt_fail(rt, QN_EUNSUP, "strftime_now: the directive %%%c",
                           c);
    }
    return 0;
}

static int global_strftime(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    qn_view f = {0};
    struct tm t;

    (void)self;
    QN_TRY(qn_jarg_str(rt, a->pos[0], "the format", &f));
    if (rt->opts.now) {
        t = *rt->opts.now;
    } else {
        time_t now = time(NULL);
        localtime_r(&now, &t);
    }
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] != '%' || i + 1 == f.n) {
            qn_jsb_addc(&sb, f.p[i]);
            continue;
        }
        char c = f.p[++i];
        bool bare = c == '-' && i + 1 < f.n; /* glibc: no padding */
        if (bare)
            c = f.p[++i];
        size_t from = sb.n;
        QN_TRY(global_directive(rt, &t, c, &sb));
        while (bare && sb.rc == 0 && sb.n - from > 1 &&
               (sb.p[from] == '0' || sb.p[from] == ' ')) {
            memmove(sb.p + from, sb.p + from + 1, sb.n - from - 1);
            sb.n--;
        }
    }
    return qn_jsb_done(&sb, out);
}

static const qn_jfunc global_table[] = {
    {"cycler", global_cycler, "*", 0},
    {"dict", global_dict, "*", 0},
    {"joiner", global_joiner, "| sep", 0},
    {"lipsum", NULL, "", 0},
    {"namespace", global_namespace, "*", 0},
    {"raise_exception", global_raise, "message", 0},
    {"range", global_range, "/ start | stop step", 0},
    {"strftime_now", global_strftime, "format", 0},
};

const qn_jfunc *qn_jinja_global(qn_view name)
{
    return qn_jfunc_find(global_table, QN_COUNTOF(global_table), name);
}

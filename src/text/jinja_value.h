/* jinja_value.h - values of the template language (private to jinja_*.c).
 *
 * A value is 16 bytes, passed by copy. What it points to lies in the arena of
 * the rendering (or of the template, for constants; or in the caller's JSON,
 * for strings) and is freed with it: there is no other ownership. Lists and
 * dicts are shared by reference, as in Python.
 *
 * Strings are UTF-8 with length; Python's semantics count code points, so a
 * flag remembers when bytes and code points are the same. Another flag marks
 * Markup (what |safe and |escape give), which escapes what is added to it. */
#ifndef QN_TEXT_JINJA_VALUE_H
#define QN_TEXT_JINJA_VALUE_H

#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct qn_jrt; /* the rendering: jinja_rt.h */

typedef enum qn_jtype {
    QN_J_MISSING, /* a variable without a value; never seen by expressions */
    QN_J_UNDEF,   /* Undefined: u.undef                                    */
    QN_J_NONE,
    QN_J_BOOL,
    QN_J_INT,
    QN_J_FLOAT,
    QN_J_STR,   /* u.s, n bytes                                            */
    QN_J_LIST,  /* u.list                                                  */
    QN_J_TUPLE, /* u.list                                                  */
    QN_J_DICT,  /* u.dict                                                  */
    QN_J_VIEW,  /* u.dict; aux: QN_JVIEW_*                                 */
    QN_J_RANGE, /* u.range                                                 */
    QN_J_ITER,  /* u.iter: a generator, used up as it is read              */
    QN_J_NS,    /* u.dict: namespace()                                     */
    QN_J_MACRO, /* u.macro                                                 */
    QN_J_BOUND, /* u.bound: a method with its object                       */
    QN_J_FUNC,  /* u.func: a global function                               */
    QN_J_LOOP,  /* u.loop: the loop variable                               */
    QN_J_CYCLER,
    QN_J_JOINER
} qn_jtype;

/* qn_jval.flags */
#define QN_JF_ASCII 1u  /* string: known to be ASCII                 */
#define QN_JF_MARKUP 2u /* string: Markup                            */
#define QN_JF_GROUP 4u  /* tuple: has .grouper and .list (|groupby)  */

enum {
    QN_JVIEW_KEYS,
    QN_JVIEW_VALUES,
    QN_JVIEW_ITEMS
};

typedef struct qn_jval {
    uint8_t type, flags;
    uint16_t aux;
    uint32_t n;
    union {
        bool b;
        int64_t i;
        double f;
        const char *s;
        struct qn_jlist *list;
        struct qn_jdict *dict;
        struct qn_jrange *range;
        struct qn_jiter *iter;
        struct qn_jundef *undef;
        const struct qn_jmacro *macro;
        const struct qn_jbound *bound;
        const struct qn_jfunc *func;
        struct qn_jloop *loop;
        struct qn_jcycler *cycler;
        void *p;
    } u;
} qn_jval;
_Static_assert(sizeof(qn_jval) == 16, "a value is two words");

typedef struct qn_jlist {
    qn_jval *v;
    uint32_t n, cap;
} qn_jlist;

/* Insertion-ordered. `index` (1 + entry, 0 empty, cap a power of two) is there
 * once there are more entries than a scan is good for. */
typedef struct qn_jdict {
    struct qn_jpair {
        qn_jval key, value;
    } * v;
    uint32_t n, cap;
    uint32_t *index, index_cap;
} qn_jdict;

typedef struct qn_jrange {
    int64_t start, stop, step, len;
} qn_jrange;
/* Item i; it is in range, what it is made of need not be. */
static inline int64_t qn_jrange_at(const qn_jrange *r, int64_t i)
{
    return (int64_t)((uint64_t)r->start + (uint64_t)i * (uint64_t)r->step);
}

/* What can be said of an undefined value when somebody uses it. */
typedef struct qn_jundef {
    enum {
        QN_JU_NAME,    /* 'name' is undefined                     */
        QN_JU_ATTR,    /* 'owner object' has no attribute 'name'  */
        QN_JU_ELEMENT, /* owner object has no element name        */
        QN_JU_UNSAFE,  /* access to attribute 'name' of ... unsafe */
        QN_JU_HINT     /* name is the whole message               */
    } kind;
    const char *owner;
    qn_view name;
} qn_jundef;

/* An iterator: `next` gives 1 and a value, 0 at the end, or an error. The
 * state behind the header is its maker's. */
typedef struct qn_jiter {
    int (*next)(struct qn_jrt *rt, struct qn_jiter *it, qn_jval *out);
    qn_jval src;         /* what it reads                          */
    struct qn_jiter *in; /* an iterator over src, once started     */
    const void *state;   /* parameters                             */
    int64_t i;           /* position                               */
} qn_jiter;

typedef struct qn_jcycler {
    qn_jval items; /* tuple (cycler) or the separator (joiner) */
    uint32_t pos;  /* next item; joiner: was it called before  */
} qn_jcycler;

/* ---- constructors -------------------------------------------------------- */

static inline qn_jval qn_jv_none(void)
{
    return (qn_jval){.type = QN_J_NONE};
}
static inline qn_jval qn_jv_bool(bool b)
{
    return (qn_jval){.type = QN_J_BOOL, .u.b = b};
}
static inline qn_jval qn_jv_int(int64_t i)
{
    return (qn_jval){.type = QN_J_INT, .u.i = i};
}
static inline qn_jval qn_jv_float(double f)
{
    return (qn_jval){.type = QN_J_FLOAT, .u.f = f};
}
/* n < 4 GiB: the limits of a rendering see to it. */
static inline qn_jval qn_jv_str(const char *s, size_t n)
{
    return (qn_jval){.type = QN_J_STR, .n = (uint32_t)n, .u.s = s};
}
static inline qn_jval qn_jv_cstr(const char *s)
{
    return qn_jv_str(s, strlen(s));
}
static inline qn_jval qn_jv_view(qn_view v)
{
    return qn_jv_str(v.p, v.n);
}
static inline qn_jval qn_jv_ptr(qn_jtype type, void *p)
{
    return (qn_jval){.type = (uint8_t)type, .u.p = p};
}
static inline qn_view qn_jv_text(qn_jval v) /* of a string */
{
    return (qn_view){v.u.s, v.n};
}
static inline bool qn_jv_is_seq(qn_jval v)
{
    return v.type == QN_J_LIST || v.type == QN_J_TUPLE;
}
static inline bool qn_jv_is_markup(qn_jval v)
{
    return v.type == QN_J_STR && (v.flags & QN_JF_MARKUP);
}
/* An int, or a bool, which Python counts among them. */
static inline bool qn_jv_as_int(qn_jval v, int64_t *out)
{
    if (v.type == QN_J_INT)
        *out = v.u.i;
    else if (v.type == QN_J_BOOL)
        *out = v.u.b;
    else
        return false;
    return true;
}
static inline bool qn_jv_is_number(qn_jval v)
{
    return v.type == QN_J_INT || v.type == QN_J_BOOL || v.type == QN_J_FLOAT;
}

/* Python's name of the type: "str", "list", "NoneType", ... */
const char *qn_jv_type_name(qn_jval v);

/* ---- jinja_value.c ------------------------------------------------------- */

bool qn_jv_truth(qn_jval v);

int qn_jv_list_new(struct qn_jrt *rt, uint32_t cap, qn_jlist **out);
int qn_jv_list_push(struct qn_jrt *rt, qn_jlist *l, qn_jval v);
int qn_jv_tuple2(struct qn_jrt *rt, qn_jval a, qn_jval b, qn_jval *out);

int qn_jv_dict_new(struct qn_jrt *rt, qn_jdict **out);
/* 1 found, 0 not there, < 0 the key is unhashable. `at` may be NULL. */
int qn_jv_dict_find(struct qn_jrt *rt, const qn_jdict *d, qn_jval key,
                    uint32_t *at);
bool qn_jv_dict_find_str(const qn_jdict *d, qn_view key, qn_jval *out);
int qn_jv_dict_put(struct qn_jrt *rt, qn_jdict *d, qn_jval key, qn_jval value);
void qn_jv_dict_remove(qn_jdict *d, uint32_t at);

/* Copies JSON into values; strings stay where they are. */
int qn_jv_from_json(struct qn_jrt *rt, const json_t *j, qn_jval *out);

/* ---- jinja_compare.c ----------------------------------------------------- */

/* Python's == : 1, 0 or an error (too deep). */
int qn_jv_equal(struct qn_jrt *rt, qn_jval a, qn_jval b);
/* Python's < <= > >= as op '<', 'l', '>', 'g': 1, 0, or an error when the
 * types have no order. */
int qn_jv_order(struct qn_jrt *rt, char op, qn_jval a, qn_jval b);
/* Python's `item in box`. */
int qn_jv_in(struct qn_jrt *rt, qn_jval item, qn_jval box);
/* Fails for unhashable values. Equal values hash alike. */
int qn_jv_hash(struct qn_jrt *rt, qn_jval v, uint64_t *out);
/* Sorts v stably by keys[i] ascending (or descending, still stably). */
int qn_jv_sort(struct qn_jrt *rt, qn_jval *v, qn_jval *keys, uint32_t n,
               bool reverse);

/* ---- jinja_iter.c -------------------------------------------------------- */

/* Python's iter(v): fails when v cannot be iterated. A QN_J_ITER is its own
 * iterator. */
int qn_jv_iter(struct qn_jrt *rt, qn_jval v, qn_jiter **out);
/* 1 and a value, 0 at the end, or an error. Counts a step. */
int qn_jv_next(struct qn_jrt *rt, qn_jiter *it, qn_jval *out);
bool qn_jv_iterable(qn_jval v);
/* list(v), always a new list. */
int qn_jv_to_list(struct qn_jrt *rt, qn_jval v, qn_jlist **out);
/* reversed(v): fails when v has no end to begin with. */
int qn_jv_reversed(struct qn_jrt *rt, qn_jval v, qn_jval *out);
/* A generator value over src. */
int qn_jv_generator(struct qn_jrt *rt,
                    int (*next)(struct qn_jrt *, qn_jiter *, qn_jval *),
                    qn_jval src, const void *state, qn_jval *out);
/* Python's len(v), or an error. */
int qn_jv_len(struct qn_jrt *rt, qn_jval v, int64_t *out);

/* ---- jinja_num.c --------------------------------------------------------- */

/* Python's + - * / // % ** ('d' is //, 'p' is **), on all types. */
int qn_jv_binary(struct qn_jrt *rt, char op, qn_jval a, qn_jval b,
                 qn_jval *out);
int qn_jv_unary(struct qn_jrt *rt, char op, qn_jval v, qn_jval *out);
/* -1, 0, 1; 2 when unordered (NaN). Both are numbers. */
int qn_jv_num_cmp(qn_jval a, qn_jval b);
/* Shortest text that reads back as f, as Python prints it (at most 32 bytes);
 * returns its length. */
size_t qn_jv_float_text(double f, char out[32]);
/* float(text), int(text, base) of Python: false when it is not one. */
bool qn_jv_parse_float(qn_view text, double *out);
bool qn_jv_parse_int(qn_view text, int base, int64_t *out, bool *overflow);

/* ---- jinja_print.c ------------------------------------------------------- */

typedef struct qn_jsb qn_jsb;
/* Appends str(v) or repr(v). */
int qn_jv_str_to(struct qn_jrt *rt, qn_jval v, qn_jsb *sb);
int qn_jv_repr_to(struct qn_jrt *rt, qn_jval v, qn_jsb *sb);
/* str(v) as a plain string; Markup loses its mark. */
int qn_jv_to_str(struct qn_jrt *rt, qn_jval v, qn_jval *out);
/* The same, but a string stays as it is (markupsafe's soft_str). */
int qn_jv_soft_str(struct qn_jrt *rt, qn_jval v, qn_jval *out);

/* ---- jinja_json.c -------------------------------------------------------- */

typedef struct qn_jdump {
    bool ensure_ascii, sort_keys;
    bool has_indent;
    qn_view indent;            /* one level                    */
    qn_view item_sep, key_sep; /* ", " and ": " unless told    */
} qn_jdump;
/* json.dumps(v). */
int qn_jv_dump(struct qn_jrt *rt, qn_jval v, const qn_jdump *how, qn_jsb *sb);

#endif

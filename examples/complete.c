/* complete.c - goes on from a prompt: a whole program on quern.h.
 *
 *     cc complete.c -o complete $(pkg-config --cflags --libs quern)
 *     ./complete MODEL "Once upon a time"      ("" is the built-in model) */
#include <quern.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *path = argc > 1 && *argv[1] ? argv[1] : NULL;
    const char *prompt = argc > 2 ? argv[2] : "Once upon a time";
    qn_model *model = NULL;
    qn_engine *engine = NULL;
    qn_request *request = NULL;
    qn_request_params p;
    qn_event ev;
    qn_err err;
    int32_t *ids = NULL;
    int left = -1;

    qn_request_params_default(&p);
    if (qn_model_open(&model, path, NULL, &err) == 0 &&
        qn_tokenize(model, prompt, strlen(prompt), true, false, &ids,
                    &p.n_prompt, &err) == 0 &&
        qn_engine_new(&engine, model, NULL, &err) == 0) {
        p.prompt = ids;
        p.max_new_tokens = 48;
        qn_sampling_from_model(model, &p.sampling);
        left = qn_request_submit(engine, &p, &request, &err) < 0 ? -1 : 1;
    }
    while (left > 0 && (left = qn_engine_step(engine, &err)) >= 0)
        while (qn_request_next(request, &ev))
            fwrite(ev.text, 1, ev.text_len, stdout), fflush(stdout);
    if (left == 0 && qn_request_error(request, &err) < 0)
        left = -1;
    if (left < 0)
        fprintf(stderr, "%s\n", err.msg);
    qn_request_free(request);
    qn_engine_free(engine);
    qn_model_close(model);
    qn_free(ids);
    return puts("") < 0 || left < 0;
}

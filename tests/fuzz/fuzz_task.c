/* fuzz_task.c: the lines of a task's file. The first byte chooses the task.
 * What is refused has a message that names the file; what is accepted has a
 * right choice among its choices. */
#include "eval/task.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"hellaswag",  "arc",     "piqa",
                                        "winogrande", "lambada", "gsm8k",
                                        "openbookqa", "boolq",   "mmlu"};
    qn_items items = {0};
    qn_err err = {0};
    if (size < 1)
        return 0;
    const qn_task *task = qn_task_find(names[data[0] % 9]);
    int rc = qn_items_parse(&items, task, "file", (const char *)data + 1,
                            size - 1, &err);
    if (rc < 0 && !strstr(err.msg, "file"))
        abort();
    for (size_t i = 0; i < items.v.n && rc == 0; i++) {
        const qn_item *item = &items.v.v[i];
        qn_str solved, number;
        qn_str_init(&solved);
        qn_str_init(&number);
        if (item->gold < 0 || (size_t)item->gold >= item->choices.n)
            abort();
        qn_item_solved(item, &solved);
        if (solved.n == 0)
            abort();
        qn_answer_strict(&number, solved.p, solved.n);
        qn_str_clear(&number);
        qn_answer_flexible(&number, solved.p, solved.n);
        qn_str_deinit(&solved);
        qn_str_deinit(&number);
    }
    qn_items_deinit(&items);
    return 0;
}

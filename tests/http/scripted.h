/* scripted.h - a model that writes what the test says.
 *
 * A network of one layer that does nothing: its embedding is the identity and
 * its head maps each token to its successor. What it writes is a list of
 * pieces, one token each, and then the end token. So a test knows every token
 * of an answer, which no trained model would allow. */
#ifndef QN_TESTS_SCRIPTED_H
#define QN_TESTS_SCRIPTED_H

/* Writes the checkpoint into a new folder and returns its path (static).
 * `pieces` ends with NULL; ASCII. One that begins with \1 is a special token.
 * After the generation prompt piece 0 comes; after any other text that ends
 * the prompt, piece `after_text`. `call` is what its chat template writes for
 * an assistant's call: Jinja, with c.function.name and c.function.arguments. */
const char *scripted_model(const char *const *pieces, int after_text,
                           const char *call);

#endif

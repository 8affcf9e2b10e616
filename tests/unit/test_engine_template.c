/* SPDX-License-Identifier: MIT
 * Chat templates that libllama has built in, and the errors for others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/template.h"

static const char chatml[] = "{% for message in messages %}"
                             "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
                             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
static const char llama3[] = "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>' + message['content'] + '<|eot_id|>' }}";
static const struct engine_message talk[] = {
    {"system", "Be brief."}, {"user", "Who walks first?"}, {"assistant", "Lola."}, {"user", "And last?"}};

static void chatml_is_rendered(void **state) {
    (void)state;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    buf_append_str(&out, "before:"); /* it appends */
    assert_int_equal(engine_template_render(chatml, talk, 4, true, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "before:<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho walks first?<|im_end|>\n"
                                        "<|im_start|>assistant\nLola.<|im_end|>\n<|im_start|>user\nAnd last?<|im_end|>\n"
                                        "<|im_start|>assistant\n");
    buf_clear(&out);
    assert_int_equal(engine_template_render("chatml", talk + 1, 1, false, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "<|im_start|>user\nWho walks first?<|im_end|>\n");
    buf_done(&out);
}

static void llama3_is_recognised(void **state) {
    (void)state;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    assert_int_equal(engine_template_render(llama3, talk + 1, 1, true, &out, &e), ERR_OK);
    assert_string_equal(buf_cstr(&out), "<|start_header_id|>user<|end_header_id|>\n\nWho walks first?<|eot_id|>"
                                        "<|start_header_id|>assistant<|end_header_id|>\n\n");
    buf_done(&out);
}

static void many_messages_fit(void **state) {
    (void)state;
    enum { N = 2000 };
    struct engine_message *m = mem_calloc(N, sizeof(*m));
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    for (int i = 0; i < N; i++) m[i] = (struct engine_message){i % 2 ? "assistant" : "user", ""};
    assert_int_equal(engine_template_render("chatml", m, N, true, &out, &e), ERR_OK);
    assert_true(out.len > N * strlen("<|im_start|>user\n<|im_end|>\n"));
    buf_done(&out);
    buf_init(&out, 1000);
    assert_int_equal(engine_template_render("chatml", m, N, true, &out, &e), ERR_LIMIT);
    buf_done(&out);
    free(m);
}

static void others_are_refused_with_a_hint(void **state) {
    (void)state;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    assert_int_equal(engine_template_render("{{ something(unheard) }}", talk, 4, true, &out, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "{{ something(unheard) }}"));
    assert_non_null(strstr(e.hint, "/v1/completions"));
    assert_int_equal(engine_template_render(NULL, talk, 4, true, &out, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "no chat template"));
    assert_int_equal(engine_template_render("chatml", talk, 0, true, &out, &e), ERR_INVALID);
    assert_int_equal(out.len, 0);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chatml_is_rendered),
        cmocka_unit_test(llama3_is_recognised),
        cmocka_unit_test(many_messages_fit),
        cmocka_unit_test(others_are_refused_with_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

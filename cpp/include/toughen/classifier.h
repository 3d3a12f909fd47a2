/* A model that `toughen export` wrote, on ONNX Runtime, in C: texts in, probabilities out.
 *
 * ONNX Runtime is opened when a classifier is made; each classifier holds its own, and the process' other users of
 * ONNX Runtime, of whatever version, are left alone. See tokenizer.h for statuses, texts and who frees what.
 */
#ifndef TOUGHEN_CLASSIFIER_H
#define TOUGHEN_CLASSIFIER_H

#include "toughen/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct OrtApi;
struct OrtSessionOptions;

typedef void (*toughen_log)(void* user, int severity, const char* message); /* severity: OrtLoggingLevel's numbers */

/* Filled by toughen_options_init, then changed; later versions add fields at the end. */
typedef struct toughen_options {
    size_t size;       /* sizeof(toughen_options) */
    const char* model; /* which file of the folder; default model.onnx */
    int threads;       /* of one pass; 0 is one per core; not with session_options */
    size_t batch;      /* rows per pass, at least 1; default 32 */
    size_t tokens;     /* of one pass, padding included: rows are fewer where texts are long; 0 is no limit */
    /* Shared library; NULL: $ORT_LIB, else libonnxruntime.so.1, libonnxruntime.so. */
    const char* onnxruntime;
    /* The caller's own ONNX Runtime (API version 14 or newer) instead of a library. */
    const struct OrtApi* ort_api;
    /* The caller's session options, made with ort_api: providers, threads, optimisation. Copied. */
    const struct OrtSessionOptions* session_options;
    toughen_log log; /* gets ONNX Runtime's messages, unless the process had made its environment before */
    void* log_user;
} toughen_options;
TOUGHEN_API void toughen_options_init(toughen_options* options);

typedef struct toughen_classifier toughen_classifier;
/* options may be NULL. */
TOUGHEN_API toughen_status* toughen_classifier_open(const char* folder, const toughen_options* options,
                                                    toughen_classifier** made);
/* A graph and its tokenizer table from memory. */
TOUGHEN_API toughen_status* toughen_classifier_from_memory(const void* graph, size_t graph_size, const void* table,
                                                           size_t table_size, const toughen_options* options,
                                                           toughen_classifier** made);
TOUGHEN_API void toughen_classifier_free(toughen_classifier* classifier);

enum toughen_task {
    TOUGHEN_SINGLE_LABEL = 0,
    TOUGHEN_MULTI_LABEL = 1,
    TOUGHEN_REGRESSION = 2,
    TOUGHEN_TOKENS = 3
};
enum toughen_activation { TOUGHEN_SOFTMAX = 0, TOUGHEN_SIGMOID = 1, TOUGHEN_NONE = 2 };
TOUGHEN_API int toughen_classifier_task(const toughen_classifier* classifier);
TOUGHEN_API int toughen_classifier_activation(const toughen_classifier* classifier);
TOUGHEN_API double toughen_classifier_temperature(const toughen_classifier* classifier);
TOUGHEN_API int toughen_classifier_pairs(const toughen_classifier* classifier); /* 1, 0, or -1: not known */
TOUGHEN_API size_t toughen_classifier_labels(const toughen_classifier* classifier);
TOUGHEN_API const char* toughen_classifier_label(const toughen_classifier* classifier, size_t label);
TOUGHEN_API size_t toughen_classifier_thresholds(const toughen_classifier* classifier); /* 0 where it has none */
TOUGHEN_API double toughen_classifier_threshold(const toughen_classifier* classifier, size_t place);
/* Where the model was fitted to abstain (one class per text): 1, and the probability from which an answer is given; else 0. */
TOUGHEN_API int toughen_classifier_answered_from(const toughen_classifier* classifier, double* probability);
/* Where it was fitted to name sets of labels: 1, and the probability from which a label is in the set; else 0. */
TOUGHEN_API int toughen_classifier_in_set_from(const toughen_classifier* classifier, double* probability);
/* Lives as long as the classifier; not to be freed. */
TOUGHEN_API const toughen_tokenizer* toughen_classifier_tokenizer(const toughen_classifier* classifier);

/* Stops a prediction from another thread; it then fails with TOUGHEN_CANCELLED. */
typedef struct toughen_cancel toughen_cancel;
TOUGHEN_API toughen_cancel* toughen_cancel_make(void);
TOUGHEN_API void toughen_cancel_now(toughen_cancel* cancel);
TOUGHEN_API void toughen_cancel_free(toughen_cancel* cancel); /* not while a prediction has it */

/* Whether the model takes a text of this kind, without reading it. */
TOUGHEN_API toughen_status* toughen_classifier_check(const toughen_classifier* classifier, const toughen_text* text);

typedef struct toughen_outputs toughen_outputs;
/* One output per text, in their order; rows of similar length run together. cancel may be NULL. */
TOUGHEN_API toughen_status* toughen_classifier_predict(const toughen_classifier* classifier, const toughen_text* texts,
                                                       size_t count, toughen_cancel* cancel, toughen_outputs** made);
TOUGHEN_API void toughen_outputs_free(toughen_outputs* outputs);
/* Rows of a text's output: 1, and of words one for each. */
TOUGHEN_API size_t toughen_outputs_rows(const toughen_outputs* outputs, size_t text);
/* A probability per label (of regression the value) [labels]. */
TOUGHEN_API const double* toughen_outputs_values(const toughen_outputs* outputs, size_t text, size_t row);
/* The labels that are predicted for a row: one, of multi-label any number, of regression none. */
TOUGHEN_API const size_t* toughen_outputs_chosen(const toughen_outputs* outputs, size_t text, size_t row, size_t* count);
/* 1 where the answer is not to be given, since its probability is too low; 0 in models that were not fitted to abstain. */
TOUGHEN_API int toughen_outputs_abstained(const toughen_outputs* outputs, size_t text);
/* The labels that may be right, the likeliest first, maybe none; none in models that were not fitted to name them. */
TOUGHEN_API const size_t* toughen_outputs_set(const toughen_outputs* outputs, size_t text, size_t* count);

#ifdef __cplusplus
}
#endif

#endif

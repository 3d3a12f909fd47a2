/* Texts to token ids in C: exactly those of the Hugging Face tokenizer that was compiled into a table (tokenizer.bin).
 *
 * Every function that can fail returns a status: NULL is success, anything else is freed with toughen_status_free.
 * What a function makes belongs to the caller until its _free function is called; _free(NULL) does nothing. Texts are
 * UTF-8 and need no zero at their end. A handle may be used from several threads at once.
 */
#ifndef TOUGHEN_TOKENIZER_H
#define TOUGHEN_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TOUGHEN_API
#else
#define TOUGHEN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum toughen_code {
    TOUGHEN_OK = 0,
    TOUGHEN_BAD_ARGUMENT = 1,  /* a missing pointer, or an option out of its range */
    TOUGHEN_BAD_TEXT = 2,      /* a text that is not UTF-8, or that the model does not take; the index says which */
    TOUGHEN_BAD_FILE = 3,      /* a table or model that is missing, damaged, of another version, or another model's */
    TOUGHEN_NO_RUNTIME = 4,    /* ONNX Runtime cannot be loaded */
    TOUGHEN_MODEL_FAILED = 5,  /* the model stopped, or answered with something that is no number */
    TOUGHEN_CANCELLED = 6,
    TOUGHEN_NO_MEMORY = 7,
    TOUGHEN_INTERNAL = 8
};

#define TOUGHEN_NO_INDEX ((size_t)-1)

typedef struct toughen_status toughen_status;
TOUGHEN_API int toughen_status_code(const toughen_status* status);            /* of NULL: TOUGHEN_OK */
TOUGHEN_API const char* toughen_status_message(const toughen_status* status); /* one sentence; of NULL: "" */
/* Which of the texts given, from 0; TOUGHEN_NO_INDEX where it is none of them. */
TOUGHEN_API size_t toughen_status_index(const toughen_status* status);
TOUGHEN_API toughen_status* toughen_status_make(int code, size_t index, const char* message);
TOUGHEN_API void toughen_status_free(toughen_status* status);

TOUGHEN_API const char* toughen_version(void);

typedef struct toughen_string {
    const char* data;
    size_t size; /* bytes */
} toughen_string;

enum toughen_kind { TOUGHEN_SINGLE = 0, TOUGHEN_PAIR = 1, TOUGHEN_WORDS = 2 };

/* A text (one part), a pair of texts (two parts), or words to be tagged (any number of parts). */
typedef struct toughen_text {
    int kind;
    const toughen_string* parts;
    size_t count;
} toughen_text;

typedef struct toughen_tokenizer toughen_tokenizer;
TOUGHEN_API toughen_status* toughen_tokenizer_open(const char* path, toughen_tokenizer** made);
/* The bytes are copied as far as they are needed. */
TOUGHEN_API toughen_status* toughen_tokenizer_from_memory(const void* data, size_t size, toughen_tokenizer** made);
TOUGHEN_API void toughen_tokenizer_free(toughen_tokenizer* tokenizer);
TOUGHEN_API int toughen_tokenizer_takes_words(const toughen_tokenizer* tokenizer);
TOUGHEN_API int toughen_tokenizer_pads_left(const toughen_tokenizer* tokenizer);
TOUGHEN_API int64_t toughen_tokenizer_pad_id(const toughen_tokenizer* tokenizer);
TOUGHEN_API int64_t toughen_tokenizer_pad_type(const toughen_tokenizer* tokenizer);
/* SHA-256 of the table in hexadecimal, 64 characters. */
TOUGHEN_API const char* toughen_tokenizer_sha256(const toughen_tokenizer* tokenizer);
/* The vocabulary's bytes of an id (of byte-level BPE the bytes themselves); NULL where the id has none. */
TOUGHEN_API const char* toughen_tokenizer_token(const toughen_tokenizer* tokenizer, int64_t id, size_t* size);

/* Rows of ids. A text has one row; with windows one or more, which follow each other. */
typedef struct toughen_encoding toughen_encoding;
/* Rows for the model: special tokens included, cut to the table's length, not padded. */
TOUGHEN_API toughen_status* toughen_tokenizer_encode(const toughen_tokenizer* tokenizer, const toughen_text* texts,
                                                     size_t count, toughen_encoding** made);
/* One row per text (no pairs, no words) without special tokens, uncut. */
TOUGHEN_API toughen_status* toughen_tokenizer_ids(const toughen_tokenizer* tokenizer, const toughen_string* texts,
                                                  size_t count, toughen_encoding** made);
/* The same two with offsets, parts and token strings of each row. Takes a table of version 2. */
TOUGHEN_API toughen_status* toughen_tokenizer_encode_detailed(const toughen_tokenizer* tokenizer, const toughen_text* texts,
                                                              size_t count, toughen_encoding** made);
TOUGHEN_API toughen_status* toughen_tokenizer_ids_detailed(const toughen_tokenizer* tokenizer,
                                                           const toughen_string* texts, size_t count,
                                                           toughen_encoding** made);
TOUGHEN_API void toughen_encoding_free(toughen_encoding* encoding);
TOUGHEN_API size_t toughen_encoding_rows(const toughen_encoding* encoding);
TOUGHEN_API size_t toughen_encoding_size(const toughen_encoding* encoding, size_t row);           /* tokens */
TOUGHEN_API size_t toughen_encoding_text(const toughen_encoding* encoding, size_t row);           /* whose row it is */
TOUGHEN_API const int64_t* toughen_encoding_ids(const toughen_encoding* encoding, size_t row);    /* [size] */
TOUGHEN_API const int64_t* toughen_encoding_types(const toughen_encoding* encoding, size_t row);  /* [size] */
/* The number of a word at its first piece, else -1 [size]; NULL where the text was no list of words. */
TOUGHEN_API const int32_t* toughen_encoding_words(const toughen_encoding* encoding, size_t row);

/* The following three are NULL unless the encoding is detailed. */
/* Where each token stands: its first byte and the one behind its last, counted in the UTF-8 of its part; 0, 0 of special
 * tokens [2 * size]. The tokenizers library counts code points instead: the byte offset is the length in UTF-8 of the
 * part's first so many code points. A byte-level token of some bytes of a code point has the place of the whole. */
TOUGHEN_API const size_t* toughen_encoding_offsets(const toughen_encoding* encoding, size_t row);
/* Which part of the text a token is of: 0, of a pair's second text 1, of words the word; -1 of special tokens [size]. */
TOUGHEN_API const int32_t* toughen_encoding_parts(const toughen_encoding* encoding, size_t row);
/* A token as the tokenizers library writes it ("##ing"; of byte-level BPE in its visible signs), ended by a zero. */
TOUGHEN_API const char* toughen_encoding_token(const toughen_encoding* encoding, size_t row, size_t place, size_t* size);

typedef struct toughen_ids {
    const int64_t* data;
    size_t size;
} toughen_ids;

/* Texts that ids stand for, as the tokenizer's own decoder joins them and cleans up. */
typedef struct toughen_decoded toughen_decoded;
/* One text per row; ids that the tokenizer does not have are left out. Takes a table of version 2. */
TOUGHEN_API toughen_status* toughen_tokenizer_decode(const toughen_tokenizer* tokenizer, const toughen_ids* rows,
                                                     size_t count, int skip_special, toughen_decoded** made);
TOUGHEN_API void toughen_decoded_free(toughen_decoded* decoded);
TOUGHEN_API size_t toughen_decoded_size(const toughen_decoded* decoded);
/* Ended by a zero, which size does not count. */
TOUGHEN_API const char* toughen_decoded_text(const toughen_decoded* decoded, size_t text, size_t* size);

#ifdef __cplusplus
}
#endif

#endif

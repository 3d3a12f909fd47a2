// Which of a text's ids are kept, and the special tokens around them.
#pragma once

#include <cstdint>
#include <vector>

#include "model.hpp"
#include "reader.hpp"

namespace toughen::core {

enum class Truncation { head, tail, head_tail, windows };

struct Row {
    std::size_t text = 0;
    Ids ids, types;
    std::vector<std::int32_t> words;  // only of words
};

// The settings by which texts become rows, at the head of a table; the templates stand at its end.
class Rows {
public:
    bool cut_left = false, words = false, spaced = false, pad_left = false, types = false;
    Truncation truncation = Truncation::head;
    std::uint32_t pad = 0, pad_type = 0;

    void read_settings(Reader& in);
    void read_templates(Reader& in);

    // How many ids of a text decide its row, however long the text is; all of them where SIZE_MAX.
    std::size_t wanted() const;
    // The same of each text of a pair; where both have so many, uneven halves also ask which has more.
    std::size_t wanted_of_pair() const { return cut_left ? SIZE_MAX : room(pair_) + 1; }
    bool uneven_halves() const { return room(pair_) % 2 == 1; }
    std::vector<Row> of(const Ids& ids, const std::vector<std::int32_t>& numbers) const;
    Row of_pair(Ids first, Ids second) const;

private:
    struct Part {
        std::uint32_t what, id, type;  // 0 a special token, 1 the text, 2 the second text
    };
    using Template = std::vector<Part>;

    static Template read_template(Reader& in, bool pair);
    std::size_t room(const Template& form) const;
    Row fill(const Template& form, const Ids& first, const Ids& second, const std::vector<std::int32_t>& numbers) const;

    std::uint32_t max_length_ = 0, overlap_ = 0;
    Template single_, pair_;
};

}  // namespace toughen::core

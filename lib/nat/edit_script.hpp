// How one list becomes another: few elements removed and inserted.
#pragma once

#include <string>
#include <vector>

namespace ipmasq::nat {

/// What happens to the next element: `keep` takes one of both lists, `remove` one of the old list, `insert`
/// one of the new list.
enum class Step { keep, remove, insert };

/// The steps from an old list to a new one, of elements that are the same where their texts are. Time and
/// memory grow with n log n and n: the elements that stay are a longest rising run of those that both lists
/// have. Where no list has an element twice they are as many as can be. Between two that stay, all that goes
/// is removed before anything is inserted: what carries the steps out never holds both lists.
std::vector<Step> edit_script(const std::vector<std::string>& old_texts,
                              const std::vector<std::string>& new_texts);

}  // namespace ipmasq::nat

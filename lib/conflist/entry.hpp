// ip-masq's entry in the text of a network configuration: put in and taken out with every other byte as it
// is. All texts are such that conflist::read_networks made out their plugins.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cni/json.hpp"

namespace ipmasq::conflist {

/// It declares that it wants pods' annotations, by which they ask for policies: a runtime that has none to
/// give gives none.
inline constexpr const char* plain_entry =
    R"({"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": true}})";

/// What of it does, as a member of any entry.
inline constexpr const char* declared_capabilities =
    R"("capabilities": {"io.kubernetes.cri.pod-annotations": true})";

/// As versions before policies wrote it.
inline constexpr const char* earlier_plain_entry = R"({"type": "ip-masq"})";

/// Whether a runtime would give pods' annotations to an entry.
bool asks_for_annotations(const cni::Json& entry);

/// The list with `entry`, where one is given: in place of the first of ours, else at its end. Of flannel's
/// plugins the delegate says "ipMasq": false where it did not say ipMasq, or flannel's plugin would say true
/// where flanneld does not masquerade.
std::string with_entry(const std::string& list, const std::optional<std::string>& entry);

/// The list without any entry of ours. `before`, the list before ours was put in, where that is known: a
/// delegate of flannel that said no ipMasq says none again, unless somebody has made it true since.
std::string without_entry(const std::string& list, const std::optional<std::string>& before);

/// A single plugin as a list of it, each value as it is written.
std::string as_list(const std::string& single);

/// Our first entry as it is written; nullopt where there is none.
std::optional<std::string> entry_of(const std::string& list);

/// Whether an entry says more than its type, and what plain_entry declares.
bool has_keys(const std::string& entry);

/// Whether `text` can be put in as our entry: an object of our type, no deeper than we read.
bool is_entry(const std::string& text);

/// Whether a delegate of flannel in the list says "ipMasq": false.
bool says_no_masquerade(const std::string& list);

}  // namespace ipmasq::conflist

// Typed reading of a JSON object's keys that collects everything that is wrong with it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cni/json.hpp"
#include "config/agent_file.hpp"

namespace ipmasq::config {

/// Each reader returns nullopt where the key is absent, and notes a problem where its value is of another
/// type.
class Keys {
 public:
  /// `file`: where some of the keys were taken from, so that a problem tells the line; nullptr for none.
  explicit Keys(const cni::Json& object, const AgentFile* file = nullptr) : object_(object), file_(file) {}

  /// The policy whose keys they are.
  struct OfPolicy {
    std::string name;
    const cni::Json* own = nullptr;  ///< what stands in it; the rest of the keys are the network's
  };
  Keys(const cni::Json& object, const AgentFile* file, OfPolicy policy)
      : object_(object), file_(file), policy_(std::move(policy)) {}

  bool has(const char* key) const { return find(key) != nullptr; }
  std::optional<bool> boolean(const char* key);
  std::optional<std::string> string(const char* key, const std::string& expected);
  std::optional<std::vector<std::string>> strings(const char* key, const std::string& expected);
  /// A list, of whatever.
  std::optional<std::vector<cni::Json>> items(const char* key, const std::string& expected);
  std::optional<unsigned> number(const char* key, unsigned lowest, unsigned highest);

  /// Notes: KEY is VALUE: expected EXPECTED.
  void refuse(const std::string& key, const cni::Json& value, const std::string& expected);
  /// Notes a problem of `key`.
  void note(const std::string& key, const std::string& problem);

  /// KEY, "KEY of policy NAME" where that says it, and "... in FILE" where it was taken from there.
  std::string origin(const std::string& key) const;
  bool is_of_policy(const std::string& key) const;

  /// One line each, in the order found.
  const std::vector<std::string>& problems() const { return problems_; }
  /// Those of others behind these.
  void take_problems(const Keys& others);

 private:
  const cni::Json* find(const char* key) const;

  /// "FILE, line N: " of an item of a key's list, or of the key; empty where it was not taken from a file.
  std::string place(const std::string& key, const cni::Json& item) const;

  /// The same, and the policy that it stands in.
  std::string beginning(const std::string& key, const cni::Json& item) const;

  const cni::Json& object_;
  const AgentFile* file_;
  OfPolicy policy_ = {};
  std::vector<std::string> problems_;
};

}  // namespace ipmasq::config

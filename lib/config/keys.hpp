// Typed reading of a JSON object's keys that collects everything that is wrong with it.
#pragma once

#include <optional>
#include <string>
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

  /// KEY, or "KEY in FILE" where it was taken from there.
  std::string origin(const std::string& key) const;

  /// One line each, in the order found.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  const cni::Json* find(const char* key) const;

  /// "FILE, line N: " of an item of a key's list, or of the key; empty where it was not taken from a file.
  std::string place(const std::string& key, const cni::Json& item) const;

  const cni::Json& object_;
  const AgentFile* file_;
  std::vector<std::string> problems_;
};

}  // namespace ipmasq::config

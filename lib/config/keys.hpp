// Typed reading of a JSON object's keys that collects everything that is wrong with it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::config {

/// Each reader returns nullopt where the key is absent, and notes a problem where its value is of another
/// type.
class Keys {
 public:
  explicit Keys(const cni::Json& object) : object_(object) {}

  std::optional<bool> boolean(const char* key);
  std::optional<std::string> string(const char* key, const std::string& expected);
  std::optional<std::vector<std::string>> strings(const char* key, const std::string& expected);
  std::optional<unsigned> number(const char* key, unsigned lowest, unsigned highest);

  /// Notes: KEY is VALUE: expected EXPECTED.
  void refuse(const std::string& key, const cni::Json& value, const std::string& expected);
  void note(const std::string& problem) { problems_.push_back(problem); }

  /// One line each, in the order found.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  const cni::Json* find(const char* key) const;

  const cni::Json& object_;
  std::vector<std::string> problems_;
};

}  // namespace ipmasq::config

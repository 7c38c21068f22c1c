// Signals as something to wait for. signalfd(2).
#pragma once

#include <initializer_list>

#include "os/file.hpp"

namespace ipmasq::os {

class Signals {
 public:
  /// Takes these signals from now on instead of what they would do. Throws Error{failed}.
  explicit Signals(std::initializer_list<int> numbers);

  /// Readable when one has come.
  int descriptor() const { return descriptor_.number(); }
  /// Takes away those that came: the first that ends a program (SIGTERM, SIGINT), else the last one; 0 where
  /// none did.
  int drain() const;

 private:
  FileDescriptor descriptor_;
};

}  // namespace ipmasq::os

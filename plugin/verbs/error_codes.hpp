// The codes by which a CNI runtime is told what went wrong.
#pragma once

#include "error/error.hpp"

namespace ipmasq::plugin {

/// CNI spec 1.1, section 5, "Error"; from 100 on ours (conf/guides/errors.md lists all of them).
constexpr int cni_code(Kind kind) {
  switch (kind) {
    case Kind::wrong_version:
      return 1;
    case Kind::wrong_call:
      return 4;
    case Kind::failed:
      return 5;
    case Kind::wrong_text:
      return 6;
    case Kind::wrong_config:
      return 7;
    case Kind::busy:
      return 11;
    case Kind::cannot_add:
      return 50;
    case Kind::cut_off:
      return 51;
    case Kind::absent:
      return 100;
    case Kind::refused:
      return 101;
    case Kind::not_right:
      return 102;
    case Kind::forbidden:
      return 103;
  }
  return 5;
}

}  // namespace ipmasq::plugin

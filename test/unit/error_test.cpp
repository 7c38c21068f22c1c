#include "error/error.hpp"

#include <doctest/doctest.h>

#include <cerrno>

namespace ipmasq {

TEST_CASE("what an errno says of the thing that was asked for") {
  struct Row {
    int number;
    Kind kind;
  };
  constexpr Row rows[] = {
      {ENOENT, Kind::absent},       {ENOPROTOOPT, Kind::absent}, {EPROTONOSUPPORT, Kind::absent},
      {EAFNOSUPPORT, Kind::absent}, {EOPNOTSUPP, Kind::absent},  {ENOSYS, Kind::absent},
      {EPERM, Kind::forbidden},     {EACCES, Kind::forbidden},   {EAGAIN, Kind::busy},
      {EBUSY, Kind::busy},          {EINTR, Kind::busy},         {ERESTART, Kind::busy},
      {ENOMEM, Kind::failed},       {EMFILE, Kind::failed},      {ENFILE, Kind::failed},
      {ENOBUFS, Kind::failed},      {EIO, Kind::failed},         {ENOSPC, Kind::failed},
      {EROFS, Kind::failed},        {EINVAL, Kind::failed},      {ENODEV, Kind::failed},
      {EEXIST, Kind::failed},       {EMLINK, Kind::failed},      {ELOOP, Kind::failed},
      {ECONNREFUSED, Kind::failed}, {0, Kind::failed},           {12345, Kind::failed},
  };
  for (const auto& row : rows) {
    CAPTURE(row.number);
    CHECK(kind_of(row.number) == row.kind);
  }
}

}  // namespace ipmasq

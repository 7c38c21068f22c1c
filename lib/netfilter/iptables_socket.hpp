// The socket that legacy tables are asked through (linux/netfilter_ipv4/ip_tables.h).
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "netfilter/iptables_error.hpp"
#include "netfilter/iptables_family.hpp"
#include "os/file.hpp"

namespace ipmasq::netfilter {

/// Of the network namespace that the thread is in. What throws, throws Error.
template <typename Tables>
class TableSocket {
 public:
  /// `table`: its name, shorter than XT_TABLE_MAXNAMELEN.
  explicit TableSocket(const char* table = nat_table)
      : table_(table), socket_(::socket(Tables::socket_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)) {
    if (!socket_.is_open()) throw_table_error<Tables>(errno, table_);
  }

  const char* table() const { return table_; }

  /// The table's size and hooks. Makes the table where this network namespace has none; EEXIST is of one that
  /// somebody else made at the same time (xt_register_table in net/netfilter/x_tables.c).
  typename Tables::Info info() const {
    typename Tables::Info info{};
    std::strcpy(info.name, table_);  // NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits
    int number = ask(Tables::get_info, &info, sizeof info);
    if (number == EEXIST) number = ask(Tables::get_info, &info, sizeof info);
    if (number != 0) throw_table_error<Tables>(number, table_);
    return info;
  }

  /// 0 or errno, of a question whose answer is written over it.
  int ask(int question, void* about, std::size_t size) const {
    auto length = static_cast<socklen_t>(size);
    return ::getsockopt(socket_.number(), Tables::socket_level, question, about, &length) < 0 ? errno : 0;
  }

 private:
  const char* table_;
  os::FileDescriptor socket_;
};

}  // namespace ipmasq::netfilter

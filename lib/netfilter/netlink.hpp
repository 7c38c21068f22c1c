// Netlink to netfilter (nf_tables, conntrack): messages are built and taken apart by libnl, this is the way
// they go. linux/netfilter/nfnetlink.h, linux/netlink.h.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ipmasq::netfilter {

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

/// A message to nf_tables (NFT_MSG_*) about `family` (NFPROTO_*), of at most `size` bytes.
Message nftables_message(int type, int flags, int family, std::size_t size = 1024);

/// The same to another subsystem (NFNL_SUBSYS_*).
Message netfilter_message(int subsystem, int type, int flags, int family, std::size_t size = 1024);

/// The attributes of a message, or of one that holds others, by type; nullptr where there is none. Lives no
/// longer than what it was read from.
class Attributes {
 public:
  explicit Attributes(const nlmsghdr& message);
  explicit Attributes(const nlattr* nest);

  const nlattr* operator[](int type) const { return table_.at(static_cast<std::size_t>(type)); }
  /// Numbers are big-endian, as nf_tables has them; 0 where the attribute is missing or short.
  std::uint32_t number(int type) const;
  std::uint64_t long_number(int type) const;
  std::string text(int type) const;
  /// What the attribute holds, or nothing.
  std::span<const std::uint8_t> bytes(int type) const;

 private:
  static constexpr std::size_t most_types = 32;

  void take(const nlattr* attribute);

  std::array<const nlattr*, most_types> table_{};
};

/// Calls `visit` with each attribute of a list.
void for_each(const nlattr* list, const std::function<void(const nlattr* item)>& visit);

/// A socket to netfilter of this network namespace.
class NetfilterSocket {
 public:
  /// Throws Error: Kind::absent, Kind::forbidden.
  NetfilterSocket();

  /// Sends a request and calls `visit` with each message of the answer; goes no further where `visit` returns
  /// false (the socket is of no more use then). False where what was asked for is not there. A dump that a
  /// commit interrupted is asked for anew, from the start: `restart` is called first. Throws
  /// Error{absent}.
  bool ask(
      nl_msg* request, const std::function<bool(const nlmsghdr&)>& visit,
      const std::function<void()>& restart = [] {});

  /// Sends all messages as one batch; 0, or the errno of the first one that the kernel refused, and then
  /// nothing has changed.
  int commit(const std::vector<Message>& messages);

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  /// The next answers, as one block.
  std::vector<std::uint8_t> receive();

  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace ipmasq::netfilter

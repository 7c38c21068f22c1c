// Netlink to netfilter (nf_tables, conntrack): messages are built and taken apart by libnl, this is the way
// they go. linux/netfilter/nfnetlink.h, linux/netlink.h.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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

/// How the kernel answered a batch.
struct BatchAnswer {
  int number = 0;  ///< errno of the first refusal; 0: it took all
  std::optional<std::size_t> message =
      {};  ///< that it refused, by its place in the batch; none: the batch itself
  std::optional<std::uint32_t> offset =
      {};                  ///< from that message's start, of the attribute that the kernel pointed to
  std::string words = {};  ///< the kernel's own on it; mostly empty
  int lost = 0;            ///< errno with which the answer was lost; the rest is then not known
};

enum class Commit { yes, no };

/// A socket to netfilter of this network namespace.
class NetfilterSocket {
 public:
  /// Throws Error: absent (no nfnetlink in the kernel), forbidden, failed.
  NetfilterSocket();

  /// Sends a request and calls `visit` with each message of the answer; goes no further where `visit` returns
  /// false (the socket is of no more use then). False where what was asked for is not there. A dump that a
  /// commit interrupted is asked for anew, from the start: `restart` is called first. Throws Error: absent
  /// where the kernel has no such subsystem, forbidden, busy, failed.
  bool ask(
      nl_msg* request, const std::function<bool(const nlmsghdr&)>& visit,
      const std::function<void()>& restart = [] {});

  /// Sends all messages to nf_tables as one batch, which the kernel takes whole or not at all. With
  /// `generation` (NFTA_GEN_ID) it refuses with ERESTART, and no message, where somebody committed since.
  /// Commit::no: it checks and answers all the same, and changes nothing. Throws Error where nothing was
  /// sent: forbidden, failed. For one batch in the socket's life.
  BatchAnswer send_batch(const std::vector<Message>& messages, std::optional<std::uint32_t> generation,
                         Commit commit);

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  enum class Heard { more, all, none, interrupted, enough };

  /// The next answers, as one block; nullopt and errno where they are not to be had.
  std::optional<std::vector<std::uint8_t>> receive();
  void send(nl_msg* request);
  /// All answers to a request that was sent.
  Heard hear(nl_msg* request, const std::function<bool(const nlmsghdr&)>& visit);
  static Heard take(const nlmsghdr& answer, nl_msg* request,
                    const std::function<bool(const nlmsghdr&)>& visit);
  /// The answers to a batch, up to that to its first message (the edge, refused with all of it) or its last.
  BatchAnswer hear_batch(std::uint32_t first, std::uint32_t last);

  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace ipmasq::netfilter

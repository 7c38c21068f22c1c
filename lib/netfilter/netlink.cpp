#include "netfilter/netlink.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "error/error.hpp"

namespace ipmasq::netfilter {

namespace {

constexpr int most_restarts = 1000;

[[noreturn]] void throw_unavailable(int number) {
  const auto reason = " (" + std::generic_category().message(number) + ")";
  if (number == EPERM || number == EACCES) {
    throw Error(Kind::forbidden, "nftables cannot be read" + reason,
                "run as root, or with the capability NET_ADMIN in the node's network namespace");
  }
  throw Error(Kind::absent, "nftables is not available" + reason,
              "load the kernel module nf_tables or set \"backend\": \"iptables\"");
}

Message batch_edge(int type) {
  Message message(nlmsg_alloc_size(NLMSG_SPACE(sizeof(nfgenmsg))));
  auto* const header = nlmsg_put(message.get(), 0, 0, type, sizeof(nfgenmsg), NLM_F_REQUEST);
  const nfgenmsg body{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
  std::memcpy(nlmsg_data(header), &body, sizeof body);
  return message;
}

}  // namespace

Message nftables_message(int type, int flags, int family, std::size_t size) {
  return netfilter_message(NFNL_SUBSYS_NFTABLES, type, flags, family, size);
}

Message netfilter_message(int subsystem, int type, int flags, int family, std::size_t size) {
  Message message(nlmsg_alloc_size(size));
  if (!message) throw std::bad_alloc();
  auto* const header =
      nlmsg_put(message.get(), 0, 0, (subsystem << 8) | type, sizeof(nfgenmsg), NLM_F_REQUEST | flags);
  const nfgenmsg body{static_cast<std::uint8_t>(family), NFNETLINK_V0, 0};
  std::memcpy(nlmsg_data(header), &body, sizeof body);
  return message;
}

Attributes::Attributes(const nlmsghdr& message) {
  auto* const header =
      const_cast<nlmsghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast): libnl
  int left = nlmsg_attrlen(header, sizeof(nfgenmsg));
  for (auto* each = nlmsg_attrdata(header, sizeof(nfgenmsg)); nla_ok(each, left) != 0;
       each = nla_next(each, &left)) {
    take(each);
  }
}

Attributes::Attributes(const nlattr* nest) {
  for_each(nest, [this](const nlattr* each) { take(each); });
}

void Attributes::take(const nlattr* attribute) {
  const auto type = static_cast<std::size_t>(nla_type(attribute));
  if (type < table_.size()) table_.at(type) = attribute;
}

std::uint32_t Attributes::number(int type) const {
  const auto* const attribute = (*this)[type];
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(std::uint32_t))) return 0;
  return ntohl(nla_get_u32(const_cast<nlattr*>(attribute)));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

std::uint64_t Attributes::long_number(int type) const {
  const auto* const attribute = (*this)[type];
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(std::uint64_t))) return 0;
  return be64toh(
      nla_get_u64(const_cast<nlattr*>(attribute)));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

std::string Attributes::text(int type) const {
  const auto held = bytes(type);
  return {held.begin(), std::ranges::find(held, std::uint8_t{0})};
}

std::span<const std::uint8_t> Attributes::bytes(int type) const {
  const auto* const attribute = (*this)[type];
  if (attribute == nullptr) return {};
  return {static_cast<const std::uint8_t*>(nla_data(attribute)),
          static_cast<std::size_t>(nla_len(attribute))};
}

void for_each(const nlattr* list, const std::function<void(const nlattr* item)>& visit) {
  if (list == nullptr) return;
  int left = nla_len(list);
  for (const auto* each = static_cast<const nlattr*>(nla_data(list)); nla_ok(each, left) != 0;
       each = nla_next(each, &left)) {
    visit(each);
  }
}

NetfilterSocket::NetfilterSocket() : socket_(nl_socket_alloc()) {
  if (!socket_) throw std::bad_alloc();
  if (nl_connect(socket_.get(), NETLINK_NETFILTER) != 0) throw_unavailable(errno);
  constexpr std::size_t largest_answer = std::size_t{64} << 10U;  // a dump comes in pieces of 32 KiB
  nl_socket_set_msg_buf_size(socket_.get(), largest_answer);
  nl_socket_disable_msg_peek(socket_.get());
  nl_socket_disable_auto_ack(socket_.get());
}

std::vector<std::uint8_t> NetfilterSocket::receive() {
  sockaddr_nl from{};
  unsigned char* block = nullptr;
  const int size = nl_recv(socket_.get(), &from, &block, nullptr);
  const std::unique_ptr<unsigned char, decltype(&std::free)> owner(block, &std::free);
  if (size <= 0) throw_unavailable(size == 0 ? ECONNRESET : errno);
  return {block, block + size};
}

bool NetfilterSocket::ask(nl_msg* request, const std::function<bool(const nlmsghdr&)>& visit,
                          const std::function<void()>& restart) {
  const bool is_dump = (nlmsg_hdr(request)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  for (int tries = 0; tries < most_restarts; ++tries) {
    nlmsg_hdr(request)->nlmsg_seq = NL_AUTO_SEQ;
    nl_complete_msg(socket_.get(), request);
    if (nl_send(socket_.get(), request) < 0) throw_unavailable(errno);
    const auto sequence = nlmsg_hdr(request)->nlmsg_seq;

    bool interrupted = false;
    for (bool done = false; !done;) {
      auto block = receive();
      int left = static_cast<int>(block.size());
      for (auto* each = reinterpret_cast<nlmsghdr*>(block.data()); nlmsg_ok(each, left) != 0;  // NOLINT
           each = nlmsg_next(each, &left)) {
        if (each->nlmsg_seq != sequence) continue;
        interrupted = interrupted || (each->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (each->nlmsg_type == NLMSG_ERROR) {
          const int number = -static_cast<const nlmsgerr*>(nlmsg_data(each))->error;
          if (number == ENOENT) return false;
          if (number == EINTR) interrupted = true;
          if (number != 0 && number != EINTR) throw_unavailable(number);
          done = true;
        } else if (each->nlmsg_type == NLMSG_DONE) {
          done = true;
        } else {
          if (!interrupted && !visit(*each)) return true;
          done = done || !is_dump;
        }
      }
    }
    if (!interrupted) return true;
    restart();
  }
  throw Error(Kind::busy,
              "nftables changed during each of " + std::to_string(most_restarts) + " looks at it");
}

int NetfilterSocket::commit(const std::vector<Message>& messages) {
  std::vector<std::uint8_t> batch;
  const auto append = [&](nl_msg* message) {
    nl_complete_msg(socket_.get(), message);
    const auto* const header = nlmsg_hdr(message);
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(header);  // NOLINT: as it goes out
    batch.insert(batch.end(), bytes, bytes + NLMSG_ALIGN(header->nlmsg_len));
    return header->nlmsg_seq;
  };
  const auto first = append(batch_edge(NFNL_MSG_BATCH_BEGIN).get());
  auto last = first;
  for (const auto& message : messages) {
    // The kernel answers a message that fails, and the last one in any case.
    auto& flags = nlmsg_hdr(message.get())->nlmsg_flags;
    flags = static_cast<std::uint16_t>(flags & ~NLM_F_ACK);
    if (&message == &messages.back()) flags |= NLM_F_ACK;
    last = append(message.get());
  }
  append(batch_edge(NFNL_MSG_BATCH_END).get());

  // One message for the kernel's socket layer, which takes none larger than the send buffer.
  const int room = static_cast<int>(std::max<std::size_t>(batch.size() * 2, std::size_t{1} << 18U));
  ::setsockopt(nl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  if (nl_sendto(socket_.get(), batch.data(), batch.size()) < 0) return errno;
  int refusal = 0;
  for (;;) {
    auto block = receive();
    int left = static_cast<int>(block.size());
    for (auto* each = reinterpret_cast<nlmsghdr*>(block.data()); nlmsg_ok(each, left) != 0;  // NOLINT
         each = nlmsg_next(each, &left)) {
      if (each->nlmsg_type != NLMSG_ERROR) continue;
      const int number = -static_cast<const nlmsgerr*>(nlmsg_data(each))->error;
      if (number != 0 && refusal == 0) refusal = number;
      if (each->nlmsg_seq == last || each->nlmsg_seq == first) return refusal;
    }
  }
}

}  // namespace ipmasq::netfilter

#include "netfilter/netlink.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "error/error.hpp"

namespace ipmasq::netfilter {

namespace {

constexpr int most_restarts = 1000;

std::string subject_of(const nl_msg* request) {
  const auto* const header = nlmsg_hdr(const_cast<nl_msg*>(request));  // NOLINT: libnl
  return header->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES ? "nftables" : "conntrack";
}

[[noreturn]] void throw_failed(const std::string& tried, Kind kind, int number) {
  std::string details;
  if (kind == Kind::absent) {
    details = "load the kernel module nf_tables or set \"backend\": \"iptables\"";
  } else if (kind == Kind::forbidden) {
    details = "run as root, or with the capability NET_ADMIN in the node's network namespace";
  } else if (number == ENOMEM || number == ENOBUFS || number == EMFILE || number == ENFILE) {
    details = "the node or this process is short of memory or descriptors: try again when it is not";
  }
  throw Error(kind, tried + " (" + text_of(number) + ")", details);
}

// What the kernel said to a question. Without the subsystem it has nobody to ask, and says EINVAL.
[[noreturn]] void throw_answer(const nl_msg* request, int number) {
  const auto kind = number == EINVAL ? Kind::absent : kind_of(number);
  throw_failed(subject_of(request) + (kind == Kind::absent ? " is not available" : " cannot be read"), kind,
               number);
}

Message batch_edge(int type) {
  Message message(nlmsg_alloc_size(NLMSG_SPACE(sizeof(nfgenmsg)) + NLA_HDRLEN + sizeof(std::uint32_t)));
  if (!message) throw std::bad_alloc();
  auto* const header = nlmsg_put(message.get(), 0, 0, type, sizeof(nfgenmsg), NLM_F_REQUEST);
  const nfgenmsg body{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
  std::memcpy(nlmsg_data(header), &body, sizeof body);
  return message;
}

// The kernel answers a message that it refuses, and the last one in any case.
void ask_for_last_answer_only(const std::vector<Message>& messages) {
  for (const auto& message : messages) {
    auto& flags = nlmsg_hdr(message.get())->nlmsg_flags;
    flags = static_cast<std::uint16_t>(flags & ~NLM_F_ACK);
    if (&message == &messages.back()) flags |= NLM_F_ACK;
  }
}

// Calls `visit` with each message of a block, until it returns false.
void for_each_message(std::vector<std::uint8_t>& block, const std::function<bool(const nlmsghdr&)>& visit) {
  int left = static_cast<int>(block.size());
  auto* each = reinterpret_cast<nlmsghdr*>(block.data());  // NOLINT: as it came in
  while (nlmsg_ok(each, left) != 0 && visit(*each)) each = nlmsg_next(each, &left);
}

// The errno in an NLMSG_ERROR; 0 is an acknowledgement.
int number_in(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return EBADMSG;
  return -static_cast<const nlmsgerr*>(nlmsg_data(&message))->error;
}

// The same in the NLMSG_DONE of a dump, which has it where the dump broke off.
int number_at_end(const nlmsghdr& message) {
  int number = 0;
  if (message.nlmsg_len >= NLMSG_LENGTH(sizeof number))
    std::memcpy(&number, nlmsg_data(&message), sizeof number);
  return number < 0 ? -number : 0;
}

// What the kernel says beyond the errno. Behind the header of the message that it refuses, since with
// NETLINK_CAP_ACK it does not send the rest of that back.
void read_extended(const nlmsghdr& message, BatchAnswer& answer) {
  constexpr auto beyond = sizeof(nlmsgerr);
  if ((message.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || (message.nlmsg_flags & NLM_F_CAPPED) == 0 ||
      message.nlmsg_len < NLMSG_LENGTH(beyond))
    return;
  auto* const header = const_cast<nlmsghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  int left = nlmsg_attrlen(header, beyond);
  for (auto* each = nlmsg_attrdata(header, beyond); nla_ok(each, left) != 0; each = nla_next(each, &left)) {
    const auto* const bytes = static_cast<const char*>(nla_data(each));
    const auto size = static_cast<std::size_t>(nla_len(each));
    if (nla_type(each) == NLMSGERR_ATTR_MSG) answer.words = {bytes, std::find(bytes, bytes + size, '\0')};
    if (nla_type(each) == NLMSGERR_ATTR_OFFS && size >= sizeof(std::uint32_t))
      answer.offset = nla_get_u32(each);
  }
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
  if (nl_connect(socket_.get(), NETLINK_NETFILTER) != 0) {
    const int number = errno;
    throw_failed("netfilter cannot be asked", kind_of(number), number);
  }
  constexpr std::size_t largest_answer = std::size_t{64} << 10U;  // a dump comes in pieces of 32 KiB
  nl_socket_set_msg_buf_size(socket_.get(), largest_answer);
  nl_socket_disable_msg_peek(socket_.get());
  nl_socket_disable_auto_ack(socket_.get());
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK})
    ::setsockopt(nl_socket_get_fd(socket_.get()), SOL_NETLINK, option, &on, sizeof on);
}

std::optional<std::vector<std::uint8_t>> NetfilterSocket::receive() {
  sockaddr_nl from{};
  unsigned char* block = nullptr;
  const int size = nl_recv(socket_.get(), &from, &block, nullptr);
  const std::unique_ptr<unsigned char, decltype(&std::free)> owner(block, &std::free);
  if (size == 0) errno = ECONNRESET;
  if (size <= 0) return std::nullopt;
  return std::vector<std::uint8_t>{block, block + size};
}

bool NetfilterSocket::ask(nl_msg* request, const std::function<bool(const nlmsghdr&)>& visit,
                          const std::function<void()>& restart) {
  for (int tries = 0; tries < most_restarts; ++tries) {
    send(request);
    const auto heard = hear(request, visit);
    if (heard != Heard::interrupted) return heard != Heard::none;
    restart();
  }
  throw Error(Kind::busy, subject_of(request) + " changed during each of " + std::to_string(most_restarts) +
                              " looks at it");
}

void NetfilterSocket::send(nl_msg* request) {
  nlmsg_hdr(request)->nlmsg_seq = NL_AUTO_SEQ;
  nl_complete_msg(socket_.get(), request);
  while (nl_send(socket_.get(), request) < 0) {
    const int number = errno;
    if (number != EINTR) throw_failed(subject_of(request) + " cannot be asked", kind_of(number), number);
  }
}

NetfilterSocket::Heard NetfilterSocket::hear(nl_msg* request,
                                             const std::function<bool(const nlmsghdr&)>& visit) {
  bool interrupted = false;
  const auto visit_whole = [&](const nlmsghdr& answer) { return interrupted || visit(answer); };
  auto heard = Heard::more;
  while (heard == Heard::more) {
    auto block = receive();
    if (!block) {
      const int number = errno;
      throw_failed("the answer of " + subject_of(request) + " was lost", kind_of(number), number);
    }
    for_each_message(*block, [&](const nlmsghdr& answer) {
      if (answer.nlmsg_seq != nlmsg_hdr(request)->nlmsg_seq) return true;  // to an earlier one
      interrupted = interrupted || (answer.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      heard = take(answer, request, visit_whole);
      return heard == Heard::more;
    });
  }
  return interrupted && heard == Heard::all ? Heard::interrupted : heard;
}

NetfilterSocket::Heard NetfilterSocket::take(const nlmsghdr& answer, nl_msg* request,
                                             const std::function<bool(const nlmsghdr&)>& visit) {
  const bool is_end = answer.nlmsg_type == NLMSG_ERROR || answer.nlmsg_type == NLMSG_DONE;
  if (!is_end) {
    if (!visit(answer)) return Heard::enough;
    const bool is_dump = (nlmsg_hdr(request)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    return is_dump ? Heard::more : Heard::all;
  }
  switch (const int number = answer.nlmsg_type == NLMSG_ERROR ? number_in(answer) : number_at_end(answer)) {
    case 0:
      return Heard::all;
    case ENOENT:
      return Heard::none;
    case EINTR:
      return Heard::interrupted;
    default:
      throw_answer(request, number);
  }
}

BatchAnswer NetfilterSocket::send_batch(const std::vector<Message>& messages,
                                        std::optional<std::uint32_t> generation, Commit commit) {
  std::vector<std::uint8_t> batch;
  const auto append = [&](nl_msg* message) {
    nl_complete_msg(socket_.get(), message);
    const auto* const header = nlmsg_hdr(message);
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(header);  // NOLINT: as it goes out
    batch.insert(batch.end(), bytes, bytes + NLMSG_ALIGN(header->nlmsg_len));
    return header->nlmsg_seq;
  };
  const auto begin = batch_edge(NFNL_MSG_BATCH_BEGIN);
  if (generation) nla_put_u32(begin.get(), NFNL_BATCH_GENID, htonl(*generation));
  ask_for_last_answer_only(messages);
  const auto first = append(begin.get());
  auto last = first;
  for (const auto& message : messages) last = append(message.get());
  if (commit == Commit::yes) append(batch_edge(NFNL_MSG_BATCH_END).get());

  // One message for the kernel's socket layer, which takes none larger than the send buffer.
  const int room = static_cast<int>(std::max<std::size_t>(batch.size() * 2, std::size_t{1} << 18U));
  ::setsockopt(nl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  while (nl_sendto(socket_.get(), batch.data(), batch.size()) < 0) {
    const int number = errno;
    if (number != EINTR) throw_failed("the batch for nftables cannot be sent", kind_of(number), number);
  }
  return hear_batch(first, last);
}

BatchAnswer NetfilterSocket::hear_batch(std::uint32_t first, std::uint32_t last) {
  BatchAnswer refusal;
  for (bool done = false; !done;) {
    auto block = receive();
    if (!block) return {.lost = errno};
    for_each_message(*block, [&](const nlmsghdr& answer) {
      if (answer.nlmsg_type != NLMSG_ERROR) return true;
      const int number = number_in(answer);
      if (number != 0 && refusal.number == 0) {
        refusal.number = number;
        if (answer.nlmsg_seq != first) refusal.message = answer.nlmsg_seq - first - 1;
        read_extended(answer, refusal);
      }
      done = answer.nlmsg_seq == first || answer.nlmsg_seq == last;
      return !done;
    });
  }
  return refusal;
}

}  // namespace ipmasq::netfilter

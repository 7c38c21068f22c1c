#include "routing/rtnetlink.hpp"

#include <netlink/errno.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "error/error.hpp"

namespace ipmasq::routing {

namespace {

using Visitor = std::function<void(const nlmsghdr&)>;
using Socket = std::unique_ptr<nl_sock, decltype(&nl_socket_free)>;
using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;

// libnl knows fewer errors than the kernel, whose own number is told where it set one.
[[noreturn]] void throw_failed(const char* tried, const Subject& subject, int error, int number) {
  throw Error(Kind::failed, std::string(tried) + subject.name + ": " +
                                (number != 0 ? text_of(number) : nl_geterror(error)));
}

// Something changed while a dump was read: it is asked for anew.
constexpr int most_tries = 20;

// No route (also one that leads nowhere: unreachable, prohibit, blackhole; or whose way back is by another
// interface), no such link, and a kernel that has none of what is asked for.
bool is_none(int number) {
  constexpr std::array nothing_there{ENETUNREACH, EHOSTUNREACH, EXDEV,  ESRCH,      ENOENT,
                                     ENODEV,      EACCES,       EINVAL, EOPNOTSUPP, EPROTONOSUPPORT};
  return std::ranges::find(nothing_there, number) != nothing_there.end();
}

// The kernel could not look.
bool is_failure(int number) {
  constexpr std::array failures{ENOMEM, ENOBUFS, EPERM, EBUSY, EAGAIN, EINTR};
  return std::ranges::find(failures, number) != failures.end();
}

}  // namespace

bool ask(int type, int flags, std::span<const std::byte> header, const std::vector<Attribute>& attributes,
         const Visitor& visit, const Subject& subject) {
  const int number = ask_or_errno(type, flags, header, attributes, visit, subject);
  if (number != 0 && !is_none(number)) throw_failed("cannot read ", subject, 0, number);
  return number == 0;
}

int ask_or_errno(int type, int flags, std::span<const std::byte> header,
                 const std::vector<Attribute>& attributes, const Visitor& visit, const Subject& subject) {
  const Socket socket(nl_socket_alloc(), nl_socket_free);
  const Message question(nlmsg_alloc_simple(type, NLM_F_REQUEST | flags), nlmsg_free);
  if (!socket || !question) throw std::bad_alloc();
  if (const int error = nl_connect(socket.get(), subject.protocol); error != 0) {
    if (errno == EPROTONOSUPPORT) return errno;  // nothing of that kind in the kernel
    throw_failed("cannot ask for ", subject, error, errno);
  }

  // libnl takes what it sends by pointers that are not const.
  nlmsg_append(question.get(), const_cast<std::byte*>(header.data()), header.size(),
               NLMSG_ALIGNTO);  // NOLINT
  for (const auto& [attribute, bytes] : attributes) {
    nla_put(question.get(), attribute, static_cast<int>(bytes.size()), bytes.data());
  }
  const nl_recvmsg_msg_cb_t call = [](nl_msg* answer, void* visitor) -> int {
    (*static_cast<const Visitor*>(visitor))(*nlmsg_hdr(answer));
    return NL_OK;
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, call, const_cast<Visitor*>(&visit));  // NOLINT
  int refusal = 0;
  const nl_recvmsg_err_cb_t refuse = [](sockaddr_nl*, nlmsgerr* answer, void* number) -> int {
    *static_cast<int*>(number) = -answer->error;
    return NL_STOP;
  };
  nl_socket_modify_err_cb(socket.get(), NL_CB_CUSTOM, refuse, &refusal);
  int error = -NLE_DUMP_INTR;
  for (int tries = 0; error == -NLE_DUMP_INTR && tries < most_tries; ++tries) {
    nl_complete_msg(socket.get(), question.get());
    while (const int unsent = std::min(nl_send(socket.get(), question.get()), 0)) {
      if (errno != EINTR) throw_failed("cannot ask for ", subject, unsent, errno);
    }
    errno = 0;
    error = nl_recvmsgs_default(socket.get());
  }
  if (refusal != 0 && !is_failure(refusal)) return refusal;
  if (error < 0) throw_failed("cannot read ", subject, error, refusal != 0 ? refusal : errno);
  return 0;
}

std::span<const std::uint8_t> bytes_in(const nlmsghdr& message, std::size_t header_size, int type) {
  auto* const asked =
      const_cast<nlmsghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast): libnl
  const auto* const attribute = nlmsg_find_attr(asked, static_cast<int>(header_size), type);
  if (attribute == nullptr) return {};
  return {static_cast<const std::uint8_t*>(nla_data(attribute)),
          static_cast<std::size_t>(nla_len(attribute))};
}

std::uint32_t number_in(std::span<const std::uint8_t> bytes) {
  std::uint32_t number = 0;
  if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

std::string text_in(std::span<const std::uint8_t> bytes) {
  return {bytes.begin(), std::ranges::find(bytes, std::uint8_t{0})};
}

}  // namespace ipmasq::routing

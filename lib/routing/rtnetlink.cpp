#include "routing/rtnetlink.hpp"

#include <netlink/errno.h>

#include <new>
#include <string>

#include "error/error.hpp"

namespace ipmasq::routing {

namespace {

using Visitor = std::function<void(const nlmsghdr&)>;
using Socket = std::unique_ptr<nl_sock, decltype(&nl_socket_free)>;
using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;

[[noreturn]] void throw_failed(const char* tried, int error) {
  throw Error(Kind::failed, std::string(tried) + ": " + nl_geterror(error));
}

}  // namespace

bool ask(int type, int flags, std::span<const std::byte> header, const std::vector<Attribute>& attributes,
         const Visitor& visit) {
  const Socket socket(nl_socket_alloc(), nl_socket_free);
  const Message question(nlmsg_alloc_simple(type, NLM_F_REQUEST | flags), nlmsg_free);
  if (!socket || !question) throw std::bad_alloc();
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error != 0)
    throw_failed("cannot ask for routes", error);

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
  if (const int error = nl_send_auto(socket.get(), question.get()); error < 0)
    throw_failed("cannot ask for routes", error);
  const int error = nl_recvmsgs_default(socket.get());
  // No route, and no such link, in libnl's words for ENETUNREACH and its like.
  if (error == -NLE_OBJ_NOTFOUND || error == -NLE_NODEV || error == -NLE_FAILURE) return false;
  if (error < 0) throw_failed("cannot read routes", error);
  return true;
}

std::span<const std::uint8_t> bytes_in(const nlmsghdr& message, std::size_t header_size, int type) {
  auto* const asked =
      const_cast<nlmsghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast): libnl
  const auto* const attribute = nlmsg_find_attr(asked, static_cast<int>(header_size), type);
  if (attribute == nullptr) return {};
  return {static_cast<const std::uint8_t*>(nla_data(attribute)),
          static_cast<std::size_t>(nla_len(attribute))};
}

}  // namespace ipmasq::routing

// Questions to the kernel about routes, links and IPsec's policies, answered by libnl. linux/rtnetlink.h,
// rtnetlink(7), linux/xfrm.h.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ipmasq::routing {

/// One attribute of a question.
struct Attribute {
  int type = 0;
  std::span<const std::uint8_t> bytes;
};

/// Whom questions go to, and what about.
struct Subject {
  int protocol;  ///< NETLINK_*
  const char* name;
};
inline constexpr Subject routes_and_links{NETLINK_ROUTE, "routes"};
inline constexpr Subject ipsec_policies{NETLINK_XFRM, "IPsec policies"};

/// Sends a message of `type` (RTM_GET*, XFRM_MSG_GET*) with `header` (rtmsg, ifinfomsg) and calls `visit`
/// with each message of the answer (of a dump that a change interrupted some come twice). False where what
/// was asked for is not there (no such route, no such link, nothing of that kind in the kernel). Throws
/// Error: of any kind but absent.
bool ask(int type, int flags, std::span<const std::byte> header, const std::vector<Attribute>& attributes,
         const std::function<void(const nlmsghdr& answer)>& visit, const Subject& subject = routes_and_links);

/// The same of one thing. Returns 0, or the number of the error that the kernel answers with: that it is not
/// there, that it refuses it (ENETUNREACH, EACCES, ...), or takes no such question (EMSGSIZE, ...). Throws
/// Error{failed} where it could not look.
int ask_or_errno(int type, int flags, std::span<const std::byte> header,
                 const std::vector<Attribute>& attributes,
                 const std::function<void(const nlmsghdr& answer)>& visit,
                 const Subject& subject = routes_and_links);

/// What an attribute holds; empty where the message, whose header has `header_size` bytes, has none of that
/// type.
std::span<const std::uint8_t> bytes_in(const nlmsghdr& message, std::size_t header_size, int type);

/// What such bytes are: 0 where they are no number of that size; text up to the first NUL.
std::uint32_t number_in(std::span<const std::uint8_t> bytes);
std::string text_in(std::span<const std::uint8_t> bytes);

}  // namespace ipmasq::routing

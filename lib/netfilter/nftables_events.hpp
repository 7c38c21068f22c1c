// Tells that somebody changed our nftables table, or a chain that may decide which back end holds.
#pragma once

#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <memory>

namespace ipmasq::netfilter {

class NftablesEvents {
 public:
  /// Throws Error: absent where the kernel has no nfnetlink, forbidden, failed.
  NftablesEvents();

  /// Readable when something happened.
  int descriptor() const;
  /// Takes away all that was told until now; whether any of it concerns us.
  bool drain() const;

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };

  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace ipmasq::netfilter

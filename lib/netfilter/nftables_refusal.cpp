#include "netfilter/nftables_refusal.hpp"

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace ipmasq::netfilter {

namespace {

const std::string otherwise = ", or set \"backend\": \"iptables\"";

bool holds(const nlattr* attribute, const nlmsghdr* message, std::uint32_t offset) {
  const auto start = static_cast<std::size_t>(reinterpret_cast<const char*>(attribute) -  // NOLINT
                                              reinterpret_cast<const char*>(message));    // NOLINT
  return start <= offset && offset < start + attribute->nla_len;
}

// The expression of a rule's message that the kernel pointed to, by its name; empty where it is none.
std::string expression_at(nl_msg* message, std::uint32_t offset) {
  const auto* const header = nlmsg_hdr(message);
  if ((header->nlmsg_type & 0xff) != NFT_MSG_NEWRULE) return "";
  std::string name;
  const Attributes attributes(*header);
  for_each(attributes[NFTA_RULE_EXPRESSIONS], [&](const nlattr* item) {
    if (holds(item, header, offset)) name = Attributes(item).text(NFTA_EXPR_NAME);
  });
  return name;
}

std::string module_of(const std::string& expression) {
  static const std::map<std::string, std::string> modules{
      {"masq", "nft_masq"},     {"nat", "nft_nat"},         {"fib", "nft_fib_inet"}, {"ct", "nft_ct"},
      {"numgen", "nft_numgen"}, {"counter", "nft_counter"}, {"lookup", "nf_tables"}};
  const auto found = modules.find(expression);
  return found == modules.end() ? "nft_" + expression : found->second;
}

bool is_nat_chain(const nat::nftables::Edit& edit) {
  const auto* const chain = std::get_if<nat::nftables::AddChain>(&edit);
  return chain != nullptr && chain->is_base && chain->chain == nat::nftables::base_chain;
}

// What is to be loaded for the kernel to have what an edit needs; nullopt where that is not what it lacks.
// Kernels before 5.8 do not point to an expression; all else that a rule needs came in the same batch.
std::optional<std::string> remedy_of(const BatchAnswer& answer, const nat::nftables::Edit& edit,
                                     const std::string& expression) {
  if (answer.number != ENOENT && answer.number != EOPNOTSUPP) return std::nullopt;
  if (is_nat_chain(edit))
    return "load the kernel module nft_chain_nat (Linux 5.2 or later is needed)" + otherwise;
  if (!expression.empty()) return "load the kernel module " + module_of(expression) + otherwise;
  if (std::holds_alternative<nat::nftables::InsertRule>(edit) && !answer.offset)
    return "load the kernel modules nft_masq, nft_nat, nft_ct, nft_fib_inet and nft_numgen" + otherwise;
  return std::nullopt;
}

Kind kind_of_refusal(int number) {
  switch (number) {
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
      return Kind::failed;
    case EPERM:
    case EACCES:
      return Kind::forbidden;
    case EAGAIN:
    case EINTR:
    case ERESTART:
      return Kind::busy;
    default:
      return Kind::refused;
  }
}

std::string advice_for(Kind kind) {
  if (kind == Kind::failed) return "nothing was changed; the kernel was short of memory: try again";
  if (kind == Kind::forbidden)
    return "run as root, or with the capability NET_ADMIN in the node's network namespace";
  return "nothing was changed";
}

}  // namespace

Error refusal_of(const BatchAnswer& answer, const nat::nftables::Edit* edit, nl_msg* message) {
  const auto reason = text_of(answer.number) + (answer.words.empty() ? "" : ", " + answer.words);
  if (edit == nullptr) {
    if (answer.number == EOPNOTSUPP)
      return {Kind::absent, "nftables is not available: " + reason,
              "load the kernel module nf_tables" + otherwise};
    const auto kind = kind_of_refusal(answer.number);
    return {kind, "the kernel refused to change nftables: " + reason, advice_for(kind)};
  }
  const auto expression = answer.offset ? expression_at(message, *answer.offset) : "";
  const auto what = "the kernel refused \"" + nat::nftables::subject_of(*edit) + "\"" +
                    (expression.empty() ? "" : ", at its expression \"" + expression + "\"") + ": " + reason;
  if (const auto remedy = remedy_of(answer, *edit, expression)) return {Kind::absent, what, *remedy};
  const auto kind = kind_of_refusal(answer.number);
  return {kind, what, advice_for(kind)};
}

}  // namespace ipmasq::netfilter

#include <doctest/doctest.h>

#include <map>
#include <sstream>

#include "cni/environment.hpp"
#include "cni/request.hpp"
#include "cni/result.hpp"
#include "error/error.hpp"
#include "texts.hpp"

namespace ipmasq::cni {

namespace {

Environment read(const std::map<std::string, std::string>& variables) {
  return read_environment([&variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

Request request(Command command, const std::string& input) {
  std::istringstream stream(input);
  Environment environment;
  environment.command = command;
  return make_request(environment, read_netconf(stream));
}

}  // namespace

TEST_CASE("an ADD's environment is read") {
  const auto environment =
      read({{"CNI_COMMAND", "ADD"},
            {"CNI_CONTAINERID", "4f1c.A-b_c"},
            {"CNI_NETNS", "/var/run/netns/x"},
            {"CNI_IFNAME", "eth0"},
            {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web-1;K8S_POD_NAME=web-2;EMPTY="}});
  CHECK(environment.command == Command::add);
  CHECK(environment.container_id == "4f1c.A-b_c");
  CHECK(environment.netns == "/var/run/netns/x");
  CHECK(environment.interface == "eth0");
  CHECK(find_arg(environment.args, "K8S_POD_NAME") == "web-2");
  CHECK(find_arg(environment.args, "EMPTY") == "");
  CHECK_FALSE(find_arg(environment.args, "K8S_POD"));
}

TEST_CASE("a DEL needs neither the namespace nor arguments") {
  CHECK(read({{"CNI_COMMAND", "DEL"}, {"CNI_CONTAINERID", "c"}, {"CNI_IFNAME", "eth0"}, {"CNI_ARGS", "?"}})
            .netns.empty());
}

TEST_CASE("GC, STATUS and VERSION need no container") {
  CHECK(read({{"CNI_COMMAND", "GC"}}).command == Command::gc);
  CHECK(read({{"CNI_COMMAND", "STATUS"}}).command == Command::status);
  CHECK(read({{"CNI_COMMAND", "VERSION"}}).command == Command::version);
}

TEST_CASE("interface names are those that the kernel takes") {
  for (const auto* const name : {"eth0", "a", "fifteen-letters", "veth.1@x"}) CHECK(is_interface_name(name));
  for (const auto* const name : {"", ".", "..", "sixteen-letters-", "a/b", "a:b", "a b", "a\tb", "a\nb"}) {
    CAPTURE(name);
    CHECK_FALSE(is_interface_name(name));
  }
}

TEST_CASE("a request carries version, network and netconf") {
  const auto parsed =
      request(Command::add, R"({"cniVersion":"0.4.0","name":"cbr0","type":"ip-masq","extra":[1,2]})");
  CHECK(parsed.cni_version == "0.4.0");
  CHECK(parsed.network == "cbr0");
  CHECK(parsed.netconf.at("extra").dump() == "[1,2]");
}

TEST_CASE("a command that the version does not have is refused") {
  const auto with = [](const std::string& version) {
    return R"({"name":"n","cniVersion":")" + version + "\"}";
  };
  CHECK(test::error_of([&] { request(Command::check, with("0.3.1")); }) ==
        "1: cniVersion is \"0.3.1\": this command needs 0.4.0 or later");
  CHECK(test::error_of([&] { request(Command::gc, with("1.0.0")); }) ==
        "1: cniVersion is \"1.0.0\": this command needs 1.1.0 or later");
  CHECK(test::error_of([&] { request(Command::status, with("1.1.0")); }).empty());
}

TEST_CASE("a DEL is served whatever the list's version") {
  CHECK(request(Command::del, R"({"name":"n","cniVersion":"9.9"})").cni_version == "1.1.0");
  CHECK(request(Command::del, R"({"name":"n"})").cni_version == "1.1.0");
  CHECK(request(Command::del, R"({"name":"n","cniVersion":"0.3.1"})").cni_version == "0.3.1");
}

TEST_CASE("valid attachments of a GC") {
  CHECK(test::error_of([] { valid_attachments(Json::parse("{}")); }) ==
        "7: neither cni.dev/valid-attachments nor cni.dev/attachments is there, so nothing says which "
        "attachments are "
        "valid: nothing was forgotten");
  CHECK(valid_attachments(Json::parse(R"({"cni.dev/attachments":null})")).empty());
  CHECK(valid_attachments(Json::parse(R"({"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}],
            "cni.dev/attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"eth0"}]})")) ==
        std::vector<AttachmentId>{{"a", "eth0"}, {"b", "eth0"}});
  CHECK(test::error_of([] { valid_attachments(Json::parse(R"({"cni.dev/attachments":7})")); }) ==
        "7: cni.dev/attachments is 7: expected an array");
  CHECK(valid_attachments(Json::parse(R"({"cni.dev/valid-attachments":null})")).empty());
  const auto ids = valid_attachments(
      Json::parse(R"({"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]})"));
  CHECK(ids == std::vector<AttachmentId>{{"a", "eth0"}});
  CHECK(test::error_of(
            [] { valid_attachments(Json::parse(R"({"cni.dev/valid-attachments":[{"containerID":1}]})")); }) ==
        "7: cni.dev/valid-attachments holds {\"containerID\":1}: expected {\"containerID\": \"...\", "
        "\"ifname\": \"...\"}");
}

TEST_CASE("a result goes through unchanged but for its version") {
  const auto result = Json::parse(
      R"({"cniVersion":"0.3.1","z":1,"ips":[{"version":"4","address":"10.1.1.2/24","x":null}],"a":{"c":[3,1],"b":1.5}})");
  CHECK(
      result_json(result, "0.4.0") ==
      R"({"cniVersion":"0.4.0","z":1,"ips":[{"version":"4","address":"10.1.1.2/24","x":null}],"a":{"c":[3,1],"b":1.5}})");
  CHECK(addresses(result, "eth0") == std::vector{test::interface_address("10.1.1.2/24")});
}

TEST_CASE("an address of an interface without a sandbox is the host's") {
  const auto pods = [](const std::string& interfaces, const std::string& ips) {
    std::string said;
    const auto error = test::error_of([&] {
      for (const auto& address : addresses(Json::parse("{" + interfaces + "\"ips\":[" + ips + "]}"), "eth0"))
        said += net::to_text(address) + " ";
    });
    return error.empty() ? said : error;
  };
  const std::string bridge =
      R"("interfaces":[{"name":"cni0"},{"name":"veth0","sandbox":""},{"name":"eth0","sandbox":"/run/netns/x"}],)";
  const std::string host = R"({"address":"192.0.2.5/24","interface":0})";
  const std::string veth = R"({"address":"192.0.2.6/24","interface":1})";
  const std::string pod = R"({"address":"10.1.1.2/24","interface":2})";
  const std::string unsaid = R"({"address":"10.1.1.3/24"},{"address":"10.1.1.4/24","interface":null})";
  CHECK(pods(bridge, host + "," + pod + "," + veth + "," + unsaid) == "10.1.1.2/24 10.1.1.3/24 10.1.1.4/24 ");
  CHECK(pods("", host) == "192.0.2.5/24 ");
  CHECK(pods(bridge, host + "," + R"({"address":"10.1.1.2/24","interface":3})") == "10.1.1.2/24 ");
  CHECK(pods(bridge, host) ==
        "7: prevResult.ips has addresses of the host alone, whose interface has no sandbox: expected at "
        "least one of the pod");
  // Of a plugin that tells no sandboxes, all are the pod's where none would be.
  CHECK(pods(R"("interfaces":[],)", host) == "192.0.2.5/24 ");
  CHECK(pods(R"("interfaces":[{"name":"eth0"}],)", host) == "192.0.2.5/24 ");
  CHECK(pods(R"("interfaces":[{"name":"eth0"},{"name":"eni1"}],)", host + "," + veth) == "192.0.2.5/24 ");
  for (const auto* const index : {"-1", "1.0", "\"1\"", "[]", "true"}) {
    const auto ip = R"({"address":"10.1.1.2/24","interface":)" + std::string(index) + "}";
    CHECK(pods(bridge, ip) ==
          "7: prevResult.ips holds " + ip + ": expected the index of one of prevResult.interfaces");
  }
  CHECK(has_host_interface(Json::parse("{}")));
  CHECK(has_host_interface(Json::parse("{" + bridge + "\"ips\":[]}")));
  CHECK_FALSE(
      has_host_interface(Json::parse(R"({"interfaces":[{"name":"eth0","sandbox":"/run/netns/x"}]})")));
}

TEST_CASE("JSON is bounded, and of a key that stands twice the last one counts") {
  const auto parsed = [](const std::string& text) {
    std::string said;
    const auto error = test::error_of([&] { said = to_text(parse_json(text, "it")); });
    return error.empty() ? said : error;
  };
  CHECK(parsed(R"({"a":1,"b":[true,null,-3,1.5,"\u00e4"],"a":{"c":{},"c":[]}})") ==
        "{\"a\":{\"c\":[]},\"b\":[true,null,-3,1.5,\"\u00e4\"]}");
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parsed(nested(64)) == nested(64));
  for (const auto& text : {nested(65), nested(400'000), std::string(400'000, '[')})
    CHECK(parsed(text) == "6: it is nested deeper than 64 levels");
  CHECK(parsed("[1e999]") == "6: it is not JSON: a number is out of range");
  CHECK(parsed("[1,]") == "6: it is not JSON: it goes wrong at byte 4");
  CHECK(parsed("{\"a\":1} x") == "6: it is not JSON: it goes wrong at byte 9");
  CHECK(parsed("") == "6: it is not JSON: it goes wrong at byte 1");
  std::string many = "{";
  for (int key = 0; key < 300'000; ++key) many += "\"" + std::to_string(key) + "\":1,";
  CHECK(parse_json(many + "\"z\":1}", "it").size() == 300'001);
}

TEST_CASE("a value in a message is ASCII, and short") {
  CHECK(excerpt("\u202e\x7f\u00a0\x1b") == R"("\u202e\u007f\u00a0\u001b")");
  CHECK(excerpt(std::string(100, 'x')) == "\"" + std::string(79, 'x') + "...");
}

TEST_CASE("an error is one line of JSON") {
  CHECK(error_json("1.0.0", 11, "held", "") == R"({"cniVersion":"1.0.0","code":11,"msg":"held"})");
  CHECK(error_json("1.0.0", 5, "bad \xff", "do x") ==
        "{\"cniVersion\":\"1.0.0\",\"code\":5,\"msg\":\"bad \xef\xbf\xbd\",\"details\":\"do x\"}");
}

TEST_CASE("gateways are those that routes lead through") {
  const auto told = [](const std::string& routes) {
    std::string text;
    for (
        const auto& each : gateways_of_routes(Json::parse(
            R"({"ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}, {"address": "fd00::2/64", "gateway": "fd00::1"}])" +
            routes + "}")))
      text += net::to_text(each) + " ";
    return text;
  };
  CHECK(told(R"(, "routes": [{"dst": "0.0.0.0/0"}])") == "10.1.0.1 ");
  CHECK(told(R"(, "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "::/0", "gw": "fd00::1"}])") ==
        "10.1.0.1 fd00::1 ");
  CHECK(told(R"(, "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.254"}, {"dst": "2001:db8::/32"}])") ==
        "fd00::1 ");
  // Hostile, or none.
  for (const auto* const routes :
       {"", R"(, "routes": null)", R"(, "routes": [7, {}, {"dst": 7}, {"dst": "x"}])"})
    CHECK(told(routes).empty());
}

}  // namespace ipmasq::cni

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "node_files.hpp"
#include "runtime/cri_dockerd.hpp"
#include "runtime/environment_file.hpp"
#include "runtime/kubelet.hpp"
#include "runtime/unit.hpp"
#include "runtime/words.hpp"

namespace ipmasq::runtime {

namespace {

using test::Files;

constexpr auto unit = "/lib/systemd/system/cri-docker.service";
constexpr auto options = "/etc/default/cri-dockerd";

// What cri-dockerd looks for plugins in, or why that is not known.
std::string plugins(const std::string& service, const std::string& file = "",
                    const std::vector<std::pair<std::string, std::string>>& more = {}) {
  Files files{{unit, "[Service]\n" + service}, {options, file}};
  for (const auto& [path, text] : more) files.put(path, text);
  try {
    const auto said = option_of({"cri-docker.service", "cri-dockerd.service"}, {"cni-bin-dir"}, files);
    return said ? said->value : "nothing";
  } catch (const Error& error) {
    return std::string("not known: ") + error.what();
  }
}

std::string not_known(const std::string& why, const std::string& where = unit) {
  return "not known: " + where + ": what cni-bin-dir is cannot be told from ExecStart: " + why +
         " is known once it runs alone";
}

const std::string from_file = "EnvironmentFile=-/etc/default/cri-dockerd\n";

}  // namespace

TEST_CASE("variables of a command line, as systemd looks them up") {
  const std::string run = "ExecStart=/usr/bin/cri-dockerd ";
  CHECK(plugins(from_file + run + "$OPTS", "OPTS=--x --cni-bin-dir=/a\n") == "/a");
  CHECK(plugins(from_file + run + "$OPTS", "OPTS=\"--x --cni-bin-dir=/a\"\n") == "/a");
  CHECK(plugins(from_file + run + "$OPTS", "# OPTS=--no\nOPTS='--cni-bin-dir \"/a b\"' \n") == "/a b");
  CHECK(plugins(from_file + run + "--cni-bin-dir=${DIR}/bin", "DIR=/a\n") == "/a/bin");
  CHECK(plugins(from_file + run + "--cni-bin-dir ${DIR}", "DIR=\"/a b\"\n") == "/a b");
  CHECK(plugins(from_file + run + "${OPTS}", "OPTS=--cni-bin-dir=/a\n") == "/a");
  CHECK(plugins(from_file + run + "${OPTS}", "OPTS=--x --cni-bin-dir=/a\n") == "nothing");  // one word
  CHECK(plugins(from_file + run + "$OPTS") == "nothing");  // not set: no word
  CHECK(plugins(run + "$OPTS --cni-bin-dir=/b", "OPTS=--cni-bin-dir=/a\n") == "/b");
  CHECK(plugins("Environment=\"OPTS=--cni-bin-dir=/a\" DIR=/c\n" + run + "$OPTS") == "/a");
  CHECK(plugins("Environment=OPTS=--cni-bin-dir=/a\n" + from_file + run + "$OPTS",
                "OPTS=--cni-bin-dir=/b\n") == "/b");
  CHECK(plugins(run + "--cni-bin-dir=$$HOME") == "$HOME");
  CHECK(plugins(":/usr/bin/x\nEnvironment=A=/a\nExecStart=:/usr/bin/cri-dockerd --cni-bin-dir ${A}") ==
        "${A}");
  CHECK(plugins("ExecStart=-@/usr/bin/cri-dockerd cri --cni-bin-dir=/a") == "/a");
  CHECK(plugins(run + R"(--cni-bin-dir=/a\x20b)") == "/a b");
  CHECK(plugins(run + "--cni-bin-dir=/opt/%N/%%") == "/opt/cri-docker/%");
  CHECK(plugins("EnvironmentFile=/etc/default/%N\n" + run + "$OPTS", "",
                {{"/etc/default/cri-docker", "OPTS=--cni-bin-dir=/a"}}) == "/a");
  CHECK(plugins("EnvironmentFile=/etc/default/*.env\n" + run + "$OPTS") ==
        "not known: " + std::string(unit) +
            ": which files EnvironmentFile=/etc/default/*.env names is not looked up");
  CHECK(plugins("EnvironmentFile=/etc/default/*.env\n" + run + "--cni-bin-dir=/a") == "/a");
}

TEST_CASE("a program that a shell starts") {
  const auto shell = [](const std::string& script) { return "ExecStart=/bin/sh -c \"" + script + "\"\n"; };
  CHECK(plugins(shell("exec /usr/bin/cri-dockerd --cni-bin-dir=/a")) == "/a");
  CHECK(plugins(shell("cri-dockerd --cni-bin-dir '/a b' --v=1")) == "/a b");
  CHECK(plugins("ExecStart=/bin/bash -exc 'ip -d link; A=/a && exec cri-dockerd --cni-bin-dir=$$A'\n") ==
        "/a");
  CHECK(plugins(from_file + shell("exec cri-dockerd $OPTS"), "OPTS=\"--x --cni-bin-dir=/a\"\n") == "/a");
  CHECK(plugins(from_file + "ExecStart=/usr/bin/env bash -c 'cri-dockerd ${OPTS} || sleep 1'\n",
                "OPTS=--cni-bin-dir=/a") == "/a");
  CHECK(plugins(shell("cri-dockerd --node $(hostname) --cni-bin-dir=/a")) == "/a");
  CHECK(plugins(shell("cri-dockerd $(cat /etc/o) --cni-bin-dir=/a")) == "/a");  // the last one counts
  CHECK(plugins(shell("cri-dockerd --v=1 # --cni-bin-dir=/a")) == "nothing");
  CHECK(plugins(shell("cri-dockerd --cni-bin-dir=/a $(cat /etc/o)")) == not_known("$(cat /etc/o)"));
  CHECK(plugins(shell("cri-dockerd --cni-bin-dir=`cat /etc/o`")) == not_known("`cat /etc/o`"));
  CHECK(plugins(shell("cri-dockerd --cni-bin-dir ${UNSET}")) == "nothing");  // systemd looks that up first
  CHECK(plugins(shell("cri-dockerd --cni-bin-dir $UNSET")) == not_known("$UNSET"));
  CHECK(plugins("ExecStart=/bin/sh -c 'cri-dockerd --cni-bin-dir $$UNSET'\n") == not_known("$UNSET"));
  CHECK(plugins(shell("/opt/start")) == not_known("\"/opt/start\""));
  CHECK(plugins("ExecStart=/bin/bash -o pipefail -c 'cri-dockerd --cni-bin-dir=/a'\n") == "/a");
  CHECK(plugins("ExecStart=/bin/bash -co pipefail 'cri-dockerd --cni-bin-dir=/a'\n") == "/a");
  CHECK(plugins("ExecStart=/bin/sh /opt/start\n") == not_known("\"/bin/sh\""));
  CHECK(plugins("ExecStart=/opt/start\n") == not_known("\"/opt/start\""));
  CHECK(plugins("ExecStart=/usr/bin/nice -n 5 cri-dockerd --cni-bin-dir=/a\n") == "/a");
}

TEST_CASE("of two units the one that is used counts") {
  const std::string first = "ExecStart=/usr/bin/cri-dockerd --cni-bin-dir=/a\n";
  const std::string other = "/etc/systemd/system/cri-dockerd.service";
  const std::string text = "[Service]\nExecStart=/usr/bin/cri-dockerd --cni-bin-dir=/b\n";
  const std::string running = "/run/systemd/units/invocation:";
  const std::string enabled = "/etc/systemd/system/multi-user.target.wants/";
  CHECK(plugins(first, "", {{other, text}, {running + "cri-dockerd.service", "->x"}}) == "/b");
  CHECK(plugins(first, "", {{other, text}, {enabled + "cri-dockerd.service", "->x"}}) == "/b");
  CHECK(plugins(first, "",
                {{other, text},
                 {enabled + "cri-dockerd.service", "->x"},
                 {running + "cri-docker.service", "->x"}}) == "/a");
  CHECK(plugins(first, "", {{other, text}}) == "not known: cni-bin-dir is /a in " + std::string(unit) +
                                                   ", and /b in " + other +
                                                   ": which of the two units is meant is not known");
  CHECK(plugins(first, "", {{other, "[Service]\nExecStart=/usr/bin/cri-dockerd\n"}}) == "/a");
}

TEST_CASE("files of variables") {
  const auto parsed = [](const std::string& text) {
    std::string lines;
    for (const auto& [name, value] : parse_environment(text)) lines += name + "=" + value + ";";
    return lines;
  };
  CHECK(parsed("A=1\n  B = two words \n#C=3\n;D=4\nexport E=\"5 6\"\n\nnone\nF=") ==
        "A=1;B=two words;E=5 6;F=;");
  CHECK(parsed("A='x\ny' z\nB=a\\\nb\nC=\"a\\\"b\\n\"\nD=a\\ \n") == "A=x\ny z;B=ab;C=a\"b\\n;D=a ;");
  CHECK(parsed("A=\"open").starts_with("A=open"));
  CHECK(parsed("A=\\").starts_with("A="));
  CHECK(parsed("").empty());
}

TEST_CASE("hostile scripts end") {
  std::string doubled = "A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
  for (int times = 0; times < 64; ++times) doubled += "A=$A$A;";
  CHECK_THROWS_AS(commands_of_script(doubled, {}), Error);
  std::string many = "x";
  for (int times = 0; times < 2000; ++times) many += times % 2 == 0 ? " $A" : " b${A}";
  CHECK_THROWS_AS(words_of_unit(many, {{"A", std::string(1000, 'a')}}), Error);
  for (const auto* const text :
       {"$(", "${", "`", "\"", "'", "$", "\\", "a $((", "\"$(", "${a", "#", "a=$(b", "$(a) $"})
    CHECK(commands_of_script(text, {}).size() <= 2);
  for (const auto* const text : {"\\", "\"\\", "\\x", "\\x1", "\\7", "${", "$", "a ${"})
    CHECK(words_of_unit(text, {}).size() <= 2);
}

TEST_CASE("the kubelet's own flags, in its unit") {
  const std::string config = "/var/lib/kubelet/config.yaml";
  const std::string path = "/lib/systemd/system/kubelet.service";
  const std::string drop_in = path + ".d/10-kubeadm.conf";
  const std::string kubeadm =
      "[Service]\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n"
      "EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/"
      "kubelet\nExecStart=\n"
      "ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";
  const auto told = [](const Files& files) {
    const auto kubelet = read_kubelet(files);
    return kubelet ? kubelet->endpoint + " in " + kubelet->said_by : std::string("none");
  };
  const std::string crio = "containerRuntimeEndpoint: unix:///run/crio/crio.sock\n";
  const std::string flag = "--container-runtime-endpoint=unix:///run/cri-dockerd.sock";
  CHECK(told({{path, "[Service]\nExecStart=/usr/bin/kubelet\n"}, {drop_in, kubeadm}, {config, crio}}) ==
        "unix:///run/crio/crio.sock in " + config);
  CHECK(told({{path, "[Service]\nExecStart=/usr/bin/kubelet\n"},
              {drop_in, kubeadm},
              {config, crio},
              {"/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2 " + flag + "\n"}}) ==
        "unix:///run/cri-dockerd.sock in " + drop_in);
  const std::string by_hand =
      "[Service]\nExecStart=/usr/local/bin/kubelet \\\n  --config=/srv/kubelet.yaml \\\n"
      "  --v=2\n";
  const std::string enabled = "/etc/systemd/system/multi-user.target.wants/kubelet.service";
  CHECK(told({{path, by_hand}, {"/srv/kubelet.yaml", crio}, {enabled, "->x"}}) ==
        "unix:///run/crio/crio.sock in /srv/kubelet.yaml");
  CHECK(told({{path, by_hand}, {"/srv/kubelet.yaml", crio}}) == "none");  // what is left of one
  const std::string shell = "[Service]\nExecStart=/bin/sh -c 'kubelet $(cat /etc/flags)'\n";
  CHECK(told({{path, shell}, {config, crio}}) == "unix:///run/crio/crio.sock in " + config);
  CHECK_THROWS_WITH_AS(
      told({{path, shell}, {config, "kind: KubeletConfiguration\n"}}),
      (path + ": what config is cannot be told from ExecStart: $(cat /etc/flags) is known once it runs alone")
          .c_str(),
      Error);
}

TEST_CASE("where cri-dockerd keeps its cache") {
  const auto cache = [](const std::string& flags) {
    const auto folder =
        cache_of_cri_dockerd(Files{{unit, "[Service]\nExecStart=/usr/bin/cri-dockerd " + flags + "\n"}});
    return folder ? folder->string() : "as it is built";
  };
  CHECK(cache("--cni-cache-dir=/srv/cni/") == "/srv/cni/results");
  CHECK(cache("--v=1") == "as it is built");
  CHECK(cache("--cni-cache-dir=") == "as it is built");
  CHECK_THROWS_AS(cache("--cni-cache-dir=here"), Error);
  CHECK(!cache_of_cri_dockerd(Files{}));
}

}  // namespace ipmasq::runtime

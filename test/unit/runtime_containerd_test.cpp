#include <doctest/doctest.h>

#include "runtimes.hpp"

namespace ipmasq::runtime {

TEST_CASE("auto: kubeadm") {
  CHECK(choice({{kubelet, kubelet_text}, {containerd, debian_text}}) ==
        "/etc/cni/net.d /usr/lib/cni\n"
        "kubeadm: networks in /etc/cni/net.d (conf_dir in /etc/containerd/config.toml), plugins in "
        "/usr/lib/cni "
        "(bin_dir in /etc/containerd/config.toml)");
  CHECK(
      choice({{kubelet, kubelet_text}, {containerd, "version = 3\n"}}) ==
      "/etc/cni/net.d /opt/cni/bin\n"
      "kubeadm: networks in /etc/cni/net.d (as containerd is built, /etc/containerd/config.toml names none), "
      "plugins in /opt/cni/bin (as containerd is built, /etc/containerd/config.toml names none)");
}

TEST_CASE("auto: containerd, beside any kubelet or none") {
  const std::string chosen =
      "/etc/cni/net.d /usr/lib/cni\nkubeadm: networks in /etc/cni/net.d (conf_dir in "
      "/etc/containerd/config.toml), plugins in /usr/lib/cni (bin_dir in /etc/containerd/config.toml)";
  CHECK(choice({{containerd, debian_text}}) == chosen);
  for (const auto* const path : {"/home/kubernetes/kubelet-config.yaml", "/var/lib/kubelet/config/kubelet",
                                 "/var/lib/kubelet/kubelet-config.yaml", "/var/lib/kubelet/config.yaml",
                                 "/var/lib/kubelet/instance-config.yaml"}) {
    CHECK(choice({{path, kubelet_text}, {containerd, debian_text}}) == chosen);
    CHECK(choice({{path, "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n"},
                  {containerd, debian_text}}) == chosen);
  }
  CHECK(choice({{containerd, debian_text}, {rke2, rke2_text}})
            .starts_with("/etc/cni/net.d /opt/cni/bin\nrke2: "));
  CHECK(choice({{containerd, debian_text}, {crio, crio_text}})
            .starts_with("/etc/cni/net.d /opt/cni/bin\ncrio: "));
}

TEST_CASE("auto: containerd's file, its versions and what it imports") {
  const auto chosen = [](const std::string& text, const std::string& imported = "") {
    const auto all = choice({{kubelet, kubelet_text},
                             {containerd, text},
                             {"/etc/containerd/conf.d/a.toml", imported},
                             {"/etc/containerd/conf.d/b.txt", "no TOML"}});
    return all.substr(0, all.find('\n'));
  };
  CHECK(chosen("[plugins.cri.cni]\nbin_dir = '/one'\n") == "/etc/cni/net.d /one");
  CHECK(chosen("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/two/'\nconf_dir = "
               "'/n//d'\n") == "/n/d /two");
  CHECK(chosen("version = 3\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/two'\n") ==
        "/etc/cni/net.d /opt/cni/bin");
  CHECK(chosen("version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dir = ''\nbin_dirs = ['/a', "
               "'/b']\n") == "/etc/cni/net.d /a");
  CHECK(chosen(
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dir = '/usr/lib/cni'\nbin_dirs = "
            "['/opt/cni/bin']\n") == "/etc/cni/net.d /usr/lib/cni");
  CHECK(chosen("version = 4\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dir = '/three'\n") ==
        "/etc/cni/net.d /three");
  const auto imports = [](int version, const std::string& keys) {
    const std::string plugin = version == 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
    return "version = " + std::to_string(version) + "\nimports = ['conf.d/*.toml']\n[plugins.'" + plugin +
           "'.cni]\n" + keys;
  };
  const std::string other_table = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\n";
  const std::string back_again =
      "version = 2\nimports = ['/etc/containerd/config.toml']\n"
      "[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/b'\n";
  CHECK(chosen(imports(3, "bin_dirs = ['/opt/cni/bin']\nconf_dir = '/n'\n"), back_again) == "/n /b");
  CHECK(chosen(imports(3, "bin_dirs = ['/a']\n"), other_table) == "/etc/cni/net.d /a");
  CHECK(chosen(imports(2, "bin_dir = '/opt/cni/bin'\n"), other_table) == "/etc/cni/net.d /opt/cni/bin");
  CHECK(chosen(imports(2, "bin_dir = '/a'\n"), back_again) == "/etc/cni/net.d /b");
  CHECK(chosen(imports(2, "bin_dir = '/a'\n"), other_table) ==
        "refused: containerd 1 and 2 do not read the same in what /etc/containerd/config.toml imports: where "
        "an "
        "imported file has the table of the CRI plugin, containerd 1 forgets what others say of that plugin. "
        "1: "
        "networks in /etc/cni/net.d (as containerd is built, /etc/containerd/config.toml names none), "
        "plugins in "
        "/opt/cni/bin (as containerd is built, /etc/containerd/config.toml names none); 2: networks in "
        "/etc/cni/net.d (as containerd is built, /etc/containerd/config.toml names none), plugins in /a "
        "(bin_dir "
        "in /etc/containerd/config.toml)");
}

TEST_CASE("auto: a table of containerd's whose name is of another version than its file") {
  const std::string imports = "imports = ['conf.d/*.toml']\n";
  const auto chosen = [](const std::string& text, const std::string& imported = "") {
    const auto all =
        choice({{kubelet, kubelet_text}, {containerd, text}, {"/etc/containerd/conf.d/a.toml", imported}});
    return all.substr(0, all.find_first_of("\n;"));
  };
  const auto table = [](const std::string& plugin, const std::string& folder) {
    return "[plugins.'" + plugin + "'.cni]\nbin_dir = '" + folder + "'\n";
  };
  const std::string of_2 = "io.containerd.grpc.v1.cri";
  const std::string of_3 = "io.containerd.cri.v1.runtime";
  const auto refused = [](const std::string& plugin) {
    return "refused: containerd 1 and 2 do not read the same in /etc/containerd/config.toml: by its version "
           "containerd 1 reads [plugins." +
           plugin +
           "] alone, containerd 2 a table with a later name as well. 1: networks in /etc/cni/net.d (as "
           "containerd is built, /etc/containerd/config.toml names none), plugins in /opt/cni/bin (as "
           "containerd is built, /etc/containerd/config.toml names none)";
  };
  for (const auto* const version : {"", "version = 0\n", "version = 1\n"}) {
    CHECK(chosen(version + table(of_2, "/two")) == refused("cri"));
    CHECK(chosen(version + table(of_2, "/opt/cni/bin")) == "/etc/cni/net.d /opt/cni/bin");
    CHECK(chosen(version + table("cri", "/one")) == "/etc/cni/net.d /one");
  }
  CHECK(chosen("version = 2\n" + table(of_3, "/three")) == refused("\"io.containerd.grpc.v1.cri\""));
  CHECK(chosen("version = 2\n" + table("cri", "/one")) == "/etc/cni/net.d /opt/cni/bin");
  CHECK(chosen("version = 3\n" + table(of_2, "/two")) == "/etc/cni/net.d /opt/cni/bin");
  // What is imported says no version: to containerd 1 all files together have one.
  CHECK(chosen("version = 2\n" + imports, table(of_2, "/two")) == "/etc/cni/net.d /two");
  CHECK(chosen("version = 3\n" + imports, table(of_2, "/two")) == "/etc/cni/net.d /opt/cni/bin");
  CHECK(chosen("version = 3\n" + imports, "version = 1\n" + table(of_2, "/two")) ==
        "/etc/cni/net.d /opt/cni/bin");
  CHECK(chosen("version = 3\n" + imports, "version = 2\n" + table(of_2, "/two")) == "/etc/cni/net.d /two");
  CHECK(chosen(imports + table(of_2, "/two"), "version = 2\n") == "/etc/cni/net.d /two");
  CHECK(chosen(imports + table("cri", "/one"), "version = 2\n").starts_with("refused: containerd 1 and 2"));
}

TEST_CASE("auto: containerd's bin_dir beside bin_dirs, in whichever of its files") {
  const auto chosen = [](int version, const std::string& keys, const std::string& imported) {
    const auto table = [version](const std::string& text) {
      const std::string plugin = version == 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
      return "[plugins.'" + plugin + "'.cni]\nconf_dir = '/n'\n" + text;
    };
    const auto begin = "version = " + std::to_string(version) + "\n";
    return choice({{kubelet, kubelet_text},
                   {containerd, begin + "imports = ['conf.d/*.toml']\n" + table(keys)},
                   {"/etc/containerd/conf.d/a.toml", imported.empty() ? begin : begin + table(imported)}});
  };
  const auto by = [](const std::string& folder, const std::string& said_by, const std::string& networks_by) {
    return "/n " + folder + "\nkubeadm: networks in /n (conf_dir in " + networks_by + "), plugins in " +
           folder + " (" + said_by + ")";
  };
  const std::string main = containerd;
  const std::string imported = "/etc/containerd/conf.d/a.toml";
  const std::string one = "bin_dir = '/usr/lib/cni'\n";
  const std::string built = "bin_dirs = ['/opt/cni/bin']\n";
  const std::string other = "bin_dirs = ['/opt/cni/bin', '/x']\n";
  CHECK(chosen(3, one, built) == by("/usr/lib/cni", "bin_dir in " + main, imported));
  CHECK(chosen(3, built, one) == by("/usr/lib/cni", "bin_dir in " + imported, imported));
  CHECK(chosen(3, "bin_dir = ''\n" + built, "bin_dirs = ['/b']\n") ==
        by("/b", "bin_dirs in " + imported, imported));
  const auto refused = [](const std::string& first, const std::string& second) {
    return "refused: bin_dir in " + first + " is /usr/lib/cni, and there is bin_dirs in " + second +
           " as well: containerd 2 does not start with both\n"
           "take one of the two out, or say which is meant: --conf-dir DIR --bin-dir DIR";
  };
  CHECK(chosen(3, one + other, "") == refused(main, main));
  CHECK(chosen(3, one + "bin_dirs = ['/usr/lib/cni']\n", "") == refused(main, main));
  CHECK(chosen(3, other, one) == refused(imported, main));
  // Of version 2 of the file bin_dir alone counts, for either containerd.
  CHECK(chosen(2, one + other, "") == by("/usr/lib/cni", "bin_dir in " + main, main));
  CHECK(chosen(2, one + built, "") == by("/usr/lib/cni", "bin_dir in " + main, main));
  CHECK(chosen(2, "bin_dirs = ['/b']\n", "") ==
        "refused: containerd 1 and 2 do not read the same in /etc/containerd/config.toml: containerd 1 knows "
        "no "
        "bin_dirs. 1: networks in /n (conf_dir in /etc/containerd/config.toml), plugins in /opt/cni/bin (as "
        "containerd is built, /etc/containerd/config.toml names none); 2: networks in /n (conf_dir in "
        "/etc/containerd/config.toml), plugins in /b (bin_dirs in /etc/containerd/config.toml)\n"
        "write bin_dir, which both know, or say which are meant: --conf-dir DIR --bin-dir DIR");
  CHECK(choice({{kubelet, kubelet_text},
                {containerd,
                 "version = 3\ndisabled_plugins = ['cri']\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n" +
                     one + other}}) == no_runtime);
}

// As "containerd config dump" of 2.2.9 has it, and of 1.6.20 where the first file can be for that.
TEST_CASE("auto: containerd's files of several versions") {
  using Table = std::pair<int, std::string>;
  const auto text = [](const Table& table, const std::string& before) {
    const std::string plugin =
        table.first == 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
    return "version = " + std::to_string(table.first) + "\n" + before + "[plugins.'" + plugin + "'.cni]\n" +
           table.second + "\n";
  };
  const auto chosen = [&](const Table& main, const Table& imported) {
    const auto all = choice({{kubelet, kubelet_text},
                             {containerd, text(main, "imports = ['conf.d/*.toml']\n")},
                             {"/etc/containerd/conf.d/a.toml", text(imported, "")}});
    return all.substr(0, all.find('\n'));
  };
  CHECK(chosen({3, "bin_dirs = ['/b']"}, {2, "bin_dir = '/a'"}) == "/etc/cni/net.d /a");
  CHECK(chosen({3, "bin_dirs = ['/b']\nconf_dir = '/n3'"}, {2, "conf_dir = '/n2'"}) == "/n3 /b");
  CHECK(chosen({3, "bin_dir = '/a'"}, {2, "bin_dirs = ['/b']"}).starts_with("refused: "));
  CHECK(chosen({2, "bin_dir = '/a'"}, {2, "bin_dir = '/z'"}) == "/etc/cni/net.d /z");
  CHECK(chosen({2, "bin_dirs = ['/b']"}, {2, "bin_dir = '/a'"}) == "/etc/cni/net.d /a");
  // 1: /opt/cni/bin, since what is imported replaces the table; 2: /a.
  CHECK(chosen({2, "bin_dir = '/a'"}, {2, "bin_dirs = ['/b']"}).starts_with("refused: containerd 1 and 2 "));
  // 1: /a; 2: /b, and nothing of the first file.
  CHECK(chosen({2, "bin_dir = '/a'"}, {3, "bin_dirs = ['/b']"}).starts_with("refused: containerd 1 and 2 "));
  CHECK(chosen({2, "bin_dir = '/b'"}, {3, "bin_dirs = ['/b']"}) == "/etc/cni/net.d /b");
}

TEST_CASE("auto: containerd's imports, whose patterns have a star in any part") {
  const auto chosen = [](const std::string& pattern, const std::string& path) {
    const auto all =
        choice({{containerd, "version = 2\nimports = ['" + pattern + "']\n"},
                {path, "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/b'\n"}});
    return all.substr(0, all.find('\n'));
  };
  for (const auto* const pattern :
       {"/etc/containerd/*/cni.toml", "*/cni.toml", "/etc/*/c[no]nf.?/*.toml",
        "/*/containerd/conf.d/cni.toml", "conf.d/*", "/etc/containerd/conf.d/cni.toml"})
    CHECK(chosen(pattern, "/etc/containerd/conf.d/cni.toml") == "/etc/cni/net.d /b");
  for (const auto* const pattern : {"/etc/containerd/*.toml", "/etc/*/*/*/cni.toml", "conf.?/cni.toml", "*"})
    CHECK(chosen(pattern, "/etc/containerd/conf.d/cni.toml") == "/etc/cni/net.d /opt/cni/bin");
}

TEST_CASE("auto: the file that containerd's service names, as kops has it") {
  CHECK(choice({{"/lib/systemd/system/containerd.service",
                 "[Service]\nExecStart=/usr/bin/containerd -c /etc/containerd/config-kops.toml\n"},
                {containerd, "version = 2\n"},
                {"/etc/containerd/config-kops.toml",
                 "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir = '/n'\nbin_dir = '/p'\n"},
                {kubelet, kubelet_text}}) ==
        "/n /p\nkubeadm: networks in /n (conf_dir in /etc/containerd/config-kops.toml), plugins in /p "
        "(bin_dir in "
        "/etc/containerd/config-kops.toml)");
}

}  // namespace ipmasq::runtime

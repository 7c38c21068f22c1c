/* What the kernel and libiptc cost by themselves, on the nat table of this network namespace: bare
 * read|commit
 *
 * read: one IPT_SO_GET_INFO and one IPT_SO_GET_ENTRIES. commit: iptc_init, one chain more, iptc_commit (and
 * the chain away again, untimed). Prints milliseconds. */
#include <libiptc/libiptc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int read_table(void) {
  int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  struct ipt_getinfo info = {.name = "nat"};
  socklen_t size = sizeof info;
  if (getsockopt(s, IPPROTO_IP, IPT_SO_GET_INFO, &info, &size)) return 1;
  size = (socklen_t)(sizeof(struct ipt_get_entries) + info.size);
  struct ipt_get_entries* entries = malloc(size);
  strcpy(entries->name, "nat");
  entries->size = info.size;
  return getsockopt(s, IPPROTO_IP, IPT_SO_GET_ENTRIES, entries, &size) != 0;
}

static const xt_chainlabel label = "BENCH";

static int commit(int (*change)(const xt_chainlabel, struct xtc_handle*)) {
  struct xtc_handle* table = iptc_init("nat");
  return !table || !change(label, table) || !iptc_commit(table);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int is_read = strcmp(argv[1], "read") == 0;
  double start = now();
  if (is_read ? read_table() : commit(iptc_create_chain)) {
    perror(argv[1]);
    return 1;
  }
  printf("%f\n", now() - start);
  return is_read ? 0 : commit(iptc_delete_chain);
}

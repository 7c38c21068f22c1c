# Cross-building as scripts/build-static does it: Debian's compiler, and the libraries that it unpacked. Included by the toolchain
# file of each processor, which sets CMAKE_SYSTEM_PROCESSOR, and architecture, which is Debian's name of it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_LIBRARY_ARCHITECTURE ${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
set(CMAKE_C_COMPILER ${CMAKE_LIBRARY_ARCHITECTURE}-gcc-12)
set(CMAKE_CXX_COMPILER ${CMAKE_LIBRARY_ARCHITECTURE}-g++-12)

set(root ${CMAKE_CURRENT_LIST_DIR}/../../build/${architecture}/root)
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${root})
set(ENV{PKG_CONFIG_LIBDIR} ${root}/usr/lib/pkgconfig:${root}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/pkgconfig)

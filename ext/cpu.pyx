# cython: language_level=3
"""Which of the compiled forms of a kernel this CPU runs.

Every kernel NAME is compiled three times from one source (NAME.pxi): for any CPU, for AVX2 and for
AVX-512. All give the same bits (one order of IEEE operations, no contraction); they differ in speed.
With compilers other than GCC and on other architectures all three are the first.
"""

from importlib import import_module

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    static int hapctl_has_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") != 0;
    }
    static int hapctl_has_avx512(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    }
    #else
    static int hapctl_has_avx2(void) { return 0; }
    static int hapctl_has_avx512(void) { return 0; }
    #endif
    """
    bint has_avx2 "hapctl_has_avx2"()
    bint has_avx512 "hapctl_has_avx512"()


def levels():
    """Names of the vector builds this CPU runs, the best first; the last is always ``baseline``."""
    found = []
    if has_avx512():
        found.append("avx512")
    if has_avx2():
        found.append("avx2")
    return (*found, "baseline")


def choose(name):
    """The best build of a kernel that this CPU runs.

    Parameters
    ----------
    name : str
        As in ``square``.

    Returns
    -------
    module
        Its name ends in ``_avx512``, ``_avx2`` or ``_baseline``.
    """
    return import_module(f"hapctl.ext.{name}_{levels()[0]}")


def builds(name):
    """All builds of a kernel that this CPU runs, by the name of the build, the best first."""
    return {level: import_module(f"hapctl.ext.{name}_{level}") for level in levels()}

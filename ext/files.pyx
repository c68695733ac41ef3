# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Parts of the rows of an image read from an open file, without holding the interpreter's lock."""

from libc.errno cimport EINTR, errno
from posix.types cimport off_t
from posix.unistd cimport pread


def read_rows(int file, off_t offset, off_t stride, unsigned char[:, ::1] out):
    """Read a piece of each of several rows.

    Parameters
    ----------
    file : int
        Descriptor of a file open for reading.
    offset : int
        Byte at which the piece of the first row begins.
    stride : int
        Bytes from one row to the next.
    out : uint8 [rows, bytes]

    Returns
    -------
    bool
        False where the file ends before.

    Raises
    ------
    OSError
        The file can't be read.
    """
    cdef Py_ssize_t rows = out.shape[0], count = out.shape[1], row, done, got = 1
    if rows == 0 or count == 0:
        return True
    if stride == count:  # one piece
        count *= rows
        rows = 1
    with nogil:
        for row in range(rows):
            done = 0
            while done < count:
                got = pread(file, &out[row, 0] + done, count - done, offset + row * stride + done)
                if got < 0 and errno == EINTR:
                    continue
                if got <= 0:
                    break
                done += got
            if done < count:
                break
    if got < 0:
        raise OSError(errno, "the file can't be read")
    return got > 0

"""Archives that are the same bytes whenever, wherever and by whomever they are made."""

import gzip
import io
import tarfile


def tar(members, time):
    """The bytes of an archive; `members`: [(name, mode, bytes)], a folder where the name ends with a slash."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, content in members:
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            entry.mode, entry.mtime, entry.size = mode, time, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def compressed(content):
    return gzip.compress(content, 9, mtime=0)

"""EXIF and XMP of pictures that are not PNG: the infotext where other tools look for it, and what made the layers as JSON."""
from __future__ import annotations

import json
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from models.layers.stack import Stack
from studio.export import About, _parts
from studio.export.png import infotext

USER_COMMENT, EXIF_IFD, SOFTWARE_TAG = 0x9286, 0x8769, 0x0131
MAX_XMP_BYTES = 60_000                               # a reader may stop at 64 KiB
NAMESPACE = "https://onestroke.invalid/ns/1.0/"      # a name, not an address


def exif(stack: Stack, about: About) -> bytes:
    """EXIF with the infotext of the lowest painted layer as UserComment, as A1111 writes it into WebP and AVIF."""
    out = Image.Exif()
    out[SOFTWARE_TAG] = _parts.SOFTWARE
    if job := _parts.main_job(stack, about):
        out.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\0" + infotext(job).encode("utf-16-be")
    return out.tobytes()


def xmp(stack: Stack, about: About) -> bytes:
    """An XMP packet (ISO 16684-1) with the document's name and the record of its layers."""
    made = json.dumps(_parts.record(stack, about), ensure_ascii=False)
    if len(made.encode()) > MAX_XMP_BYTES:
        made = json.dumps({"software": _parts.SOFTWARE, "layers": [{"name": layer.name} for layer in stack.leaves()]}, ensure_ascii=False)
    name = escape(str(about.get("name", "")))
    return (f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
            f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
            f' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:onestroke="{NAMESPACE}"'
            f' xmp:CreatorTool="{_parts.SOFTWARE}" onestroke:layers={quoteattr(made)}>'
            f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{name}</rdf:li></rdf:Alt></dc:title>'
            f'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>').encode()

"""XMP packets with GPano fields, in the files of the tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

NAMESPACE = "http://ns.google.com/photos/1.0/panorama/"
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def crop_fields(full: tuple[int, int], top: int, left: int, size: tuple[int, int]) -> dict[str, object]:
    """The fields of a crop; sizes are (height, width)."""
    return {
        "ProjectionType": "equirectangular",
        "FullPanoHeightPixels": full[0], "FullPanoWidthPixels": full[1],
        "CroppedAreaTopPixels": top, "CroppedAreaLeftPixels": left,
        "CroppedAreaImageHeightPixels": size[0], "CroppedAreaImageWidthPixels": size[1],
    }  # fmt: skip


def packet(fields: dict[str, object], elements: bool = False, prefix: str = "GPano") -> bytes:
    """A packet with the fields as attributes or as elements."""
    if elements:
        body = "".join(f"<{prefix}:{name}>{value}</{prefix}:{name}>" for name, value in fields.items())
        inner = f'<rdf:Description xmlns:{prefix}="{NAMESPACE}">{body}</rdf:Description>'
    else:
        body = " ".join(f'{prefix}:{name}="{value}"' for name, value in fields.items())
        inner = f'<rdf:Description xmlns:{prefix}="{NAMESPACE}" {body}/>'
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>'
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}<?xpacket end="w"?>'.encode()


def save_with(path: Path, picture: Image.Image, xmp: bytes) -> Path:
    """Save a picture, without loss if the format can, with an XMP packet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(errors="surrogateescape"))
        picture.save(path, pnginfo=info)
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={700: xmp})
    elif path.suffix == ".webp":
        picture.save(path, xmp=xmp, lossless=True)
    else:
        picture.save(path, xmp=xmp, quality=95)
    return path

"""Pictures of two colours, drawn and saved."""

import base64
import io
import zlib
from typing import Any

from PIL import Image

S = 8
RED, BLUE, WHITE, GREY = (255, 0, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)

# The two colours of `halves`, turned by its property `irot`. Nothing that is installed writes HEIC.
PACKED = (
    "c-muNV30{GsVvAy%}izhg51nBLl8SRGck>Uf$?~5YDppk1Sn>t<P<^K3<a6VB@Af5Br_);Y>0~k0}}%yh{gCCLIc"
    "57pcoJ^9e|6d0I@}8W?mYY2a**9a#F#{fNC<zk_{P<1Q|g}Tq`oc%J~X1OL7^YDjC@_3yKPW?5CLp$@xIK6sXskk"
    "r^a30jx;w1H+%cKYlPU@G~a>bx1fc@-Y7Y4^qGkQo#&Da=Vxu5`mJMPK=CbG7A(MS*N{PH|yC0#RUf%7#MgOK*B9"
    "aK-Fw6j0cMkb^`4XPR`FM%1h3v0E+T5umP1Yh-4NQq(Xh`0L2=~If)>LDL~xLAONEO|Ns906b3;00yHcH3NkA)K^"
    "mDkI5>b5XJ%1;3D7wVl9>g$usC4^`n{2fnYE=2$dSq{N=<`G@Fk}dCxc@F6h4f(DT$!yx~Rdpp7TWdpIes7;r0LT"
    "HP`>YotjY}wd&FK|7#uh{aa%8|4-xOpMLu<oLr@MNd3se*^6UWFW=k4`{b}da+-9k#a|5*vt8E?I4{4#Vk3R^@7g"
    "DP!pDm0<F8)ZYtQY*s+l`Gz3kVfM=Myirq#S@KJ)AEy4i7tp$}7?SG{DBzr!?Rd!odKZ9CTpUFYmv_sj8&o!yBYm"
    "g)<$V{BNnC05zYR}c%)x==Yke(PE>@8c2~%My0|tUI5pop#-UeMjjQzFF_SME-iC66zsg`*_DO!++-_IUZ>MJ;eq"
    "|6TZF-T0kBL(6>UMXamI!BrE{lJjd4"
)
HEIC = zlib.decompress(base64.b85decode(PACKED))


def halves(left: Any = RED, right: Any = BLUE, mode: str = "RGB") -> Image.Image:
    """A 32 x 16 picture of two colours."""
    image = Image.new(mode, (32, 16), right)
    image.paste(left, (0, 0, 16, 16))
    return image


def file(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()

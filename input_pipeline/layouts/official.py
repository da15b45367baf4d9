"""R2Gen's split of IU X-Ray, by the numbers of the studies.

Made from the ids of R2Gen's annotation.json. It tells whether studies are of
that split and how many are missing; it holds neither ids nor reports.
"""

import base64

from input_pipeline.study import SPLITS, join_key

NAME = 'r2gen'
COUNTS = {'train': 2069, 'val': 296, 'test': 590}
# Of each part, by `splits.part_digest`.
DIGESTS = {
  'train': 'f126baa8b949',
  'val': '07c942a6884a',
  'test': '2129a04479a2',
}
# Two bits for each number from 0 on: its place in (None, *SPLITS).
_PARTS = base64.b85decode(
  'G*(q#RMBQJb@tT&T~$?3R}?`*5qT7RU6u3^RS`vmMMP6v3}6*dbyo!yMO0UGWe6ESQ9)2ubp;e'
  'TFjUo5RS#2bX?2lOc~evk(-#qxWL;-P6;)eRUt2`iQ%23>@X|%qL|0W|)y>ph!322{a6xuo6;W'
  '|ikj&IoU2s+MR8bTJMAg;7MMV`AP)%J$brwg{Q~?EDM@^mmQkMrs1O-)9{N0f?P{kco4Oi6%Q8'
  'QH>T_lC&cn}@c9^GF@_XO2d4UyHA2NhX1R1s0dRFz~^G*H&IMSKFx2~pJnMO08*9~m`N-4|R{R'
  'dGR7l|`peNmCJ5T~q~M*Th^>gfVppRCQ6M6-9&)Rb@b3MLk4S1brP{R5oy2kq9M46*NUqq1aaw'
  'LHA8fVU2wi)K)Y^bq7%q9^A)hU40!LGem_^0C*K$P}IRe6l6eE_Z3xAK~)tUT~!s44Z%^Xd`(4'
  'A4b62`S438IQ5W_37a2#*MgdeM6n)iQ#Wi)=)X`T_Sy5X>H8mA=b=PEd%>Xw5MfKHSUr~2-2~m'
  'YXWL4Bv?4CtXt!z<O0z^i1Rgv{^MPUX|L2S`Lh80wUQO6a5A%_7~P{@@*22sWR1V>d-TxC=x#Z'
  '}Q+1jTvLXI14_6~T~kESFb*5hqXuhLBZEQ(Qw;MORQ&6;T9P0S8hZR2Ff3yfIT%^-~a61yx2ue'
  '1UTTeb)ieRfI<s#Y81EK^#L<{zVmF6<kMQ!PEgo)n-8y#GOzq^+iPmRZw>ZR?z{G6IBJ3^c~d&'
  'k%6^YQCyTITu@O?1<{9s9#oZmRuq*WRaithLsrBUfOJ)45LH1z%>`W*9Yj~~QH2%3+=T^pR|Wz'
  'AQ&Tt9Ma2bKKt(`WP?ty&1qDrY71U7~F;$FFmDVM^P|-z2Re)E3TU-=d|CLqGP-PKCBqdP=N=4'
  'B{!BJLyd{GofAypk2l#l{7z;{s>Wm#Pp6jvMtSuPb3Qsoo|8KfHlP!%Hs4RsOKOjSf7;K*@QWm'
  'estXH{`kJXJ?^<u_H4*OU<{(N#dC`Cds=RZxEe)K^6j5r0!vR$&ztbQM`yZNx=H{gg>DWi>`rR'
  'iqq69Kl5wWEauIR}@)P@G)1{6%f@`(bXyS@plD9IXs;~Q6qI$cT`nWjnyC(T@PW={pm%wMRj#e'
  '14R`Tag=*?;9m4()D#^NWl04QY1R~R)lFSh7En)>b;Q(FlvLdX6AOQpMR`;ae8p5n)g2M{cmz)'
  'rQ8iFfIW%7dV3|b+#(#}b5l7Sr5p~r~JVi8g1sOpVG$c_?WhItH6}>fARN+@$RmEHl'
)


def split_of(name: str) -> str | None:
  """The part of a study by its id in any layout; None where it is in none."""
  key = join_key(name)
  if key is None or int(key.split('_')[0]) >= 4 * len(_PARTS):
    return None
  place, shift = divmod(int(key.split('_')[0]), 4)
  return (None, *SPLITS)[_PARTS[place] >> 2 * shift & 3]

"""A ViT in torch with timm's geometry and names, written from the paper."""

import torch
from torch import nn
from torch.nn import functional


class _Attention(nn.Module):
  def __init__(self, width, heads):
    super().__init__()
    self.heads = heads
    self.qkv = nn.Linear(width, 3 * width)
    self.proj = nn.Linear(width, width)

  def forward(self, x):
    b, t, d = x.shape
    qkv = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads)
    y = functional.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
    return self.proj(y.transpose(1, 2).reshape(b, t, d))


class _Block(nn.Module):
  def __init__(self, width, heads):
    super().__init__()
    self.norm1 = nn.LayerNorm(width, eps=1e-6)
    self.attn = _Attention(width, heads)
    self.norm2 = nn.LayerNorm(width, eps=1e-6)
    self.mlp = nn.ModuleDict(
      {'fc1': nn.Linear(width, 4 * width), 'fc2': nn.Linear(4 * width, width)}
    )

  def forward(self, x):
    x = x + self.attn(self.norm1(x))
    y = functional.gelu(self.mlp['fc1'](self.norm2(x)))
    return x + self.mlp['fc2'](y)


class TorchViT(nn.Module):
  """Patches of 16 pixels, 12 layers, 12 heads; positions for 14 x 14."""

  def __init__(self, head_width: int):
    super().__init__()
    width = 12 * head_width
    self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
    self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
    self.patch_embed = nn.ModuleDict(
      {'proj': nn.Conv2d(3, width, 16, stride=16)}
    )
    self.blocks = nn.ModuleList(_Block(width, 12) for _ in range(12))
    self.norm = nn.LayerNorm(width, eps=1e-6)
    self.head = nn.Linear(width, 1000)

  def forward(self, x):
    """Films (B, C, H, W) to the patches' features (B, h, w, F)."""
    x = self.patch_embed['proj'](x)
    b, d, h, w = x.shape
    first, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:]
    if (h, w) != (14, 14):  # As timm resamples them.
      grid = rest.reshape(1, 14, 14, d).permute(0, 3, 1, 2)
      grid = functional.interpolate(
        grid, (h, w), mode='bicubic', antialias=True
      )
      rest = grid.flatten(2).transpose(1, 2)
    x = x.flatten(2).transpose(1, 2) + rest
    x = torch.cat([(self.cls_token + first).expand(b, -1, -1), x], 1)
    for block in self.blocks:
      x = block(x)
    return self.norm(x)[:, 1:].reshape(b, h, w, d)

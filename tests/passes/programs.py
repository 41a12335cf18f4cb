"""Programs written as text, for passes to look at."""

import textwrap

from morphir.ir import Program


def parse(text: str) -> Program:
    """Reads an indented program."""
    return Program.parse(textwrap.dedent(text).strip() + "\n")


LINEAR = """
    program Net eval
    parameter @a.bias: f32[8]
    parameter @a.weight: f32[8, 4]
    parameter @b.weight: f32[2, 8]
    sequential body

    graph forward(%x: f32[B, 4]):
      call body:
        call body.a:
          %0: f32[B, 8] = linear(input=%x, weight=@a.weight, bias=@a.bias)
          results %0
        call body.act:
          %1: f32[B, 8] = relu(input=%0)
          results %1
        results %1
      call b:
        %2: f32[B, 2] = linear(input=%1, weight=@b.weight)
        results %2
      output '' = %2
"""

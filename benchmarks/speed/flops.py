"""Arithmetic of a traced function: its matrix products and convolutions."""

import math

import jax
from jax.extend import core


def matmul_flops(function, *arguments, while_trips: int = 1) -> float:
  """Floating point operations of all products, multiply and add counted.

  Args:
    function: to be traced.
    arguments: arrays, or their shapes.
    while_trips: how often the body of each `while` runs that no `scan` bounds.
  """
  return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr, while_trips)


def _of_jaxpr(jaxpr, trips: int) -> float:
  return sum(_of_equation(equation, trips) for equation in jaxpr.eqns)


def _of_equation(equation, trips: int) -> float:
  name, parameters = equation.primitive.name, equation.params
  outputs = math.prod(equation.outvars[0].aval.shape)
  if name == 'dot_general':
    (contracted, _), _ = parameters['dimension_numbers']
    left = equation.invars[0].aval.shape
    return 2.0 * outputs * math.prod(left[axis] for axis in contracted)
  if name == 'conv_general_dilated':
    kernel = equation.invars[1].aval.shape
    features = parameters['dimension_numbers'].rhs_spec[0]
    products = math.prod(kernel) // kernel[features]
    return 2.0 * outputs * products
  if name == 'cond':  # One branch runs.
    return max(_of_jaxpr(b.jaxpr, trips) for b in parameters['branches'])
  times = {'scan': parameters.get('length'), 'while': trips}.get(name, 1)
  return times * sum(_of_jaxpr(inner, trips) for inner in _inner(parameters))


def _inner(parameters):
  """The programs that an equation holds."""
  for value in parameters.values():
    for item in value if isinstance(value, (list, tuple)) else (value,):
      if isinstance(item, core.ClosedJaxpr):
        yield item.jaxpr
      elif isinstance(item, core.Jaxpr):
        yield item

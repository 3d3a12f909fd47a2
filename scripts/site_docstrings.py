"""For mkdocs.yml: how the reference reads what the source says in a way of its own.

Docstrings name things as Sphinx does, by role: the site sets the name alone in code font. A setting is declared with
its default and its help in one call: the site shows the default in the signature and the help as the field's text.
"""

import ast
import re

import griffe

SETTING = "setting"
"""The function that declares a setting: `toughen.settings.setting`."""


class Reader(griffe.Extension):
    """Read roles and settings."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Take the role off every name in a docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r":(?:meth|class|func|attr|mod|data):(?=`)", "", obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: object) -> None:
        """Give a setting its default and its help, before the signature of its dataclass is made."""
        call = attr.value
        if isinstance(call, griffe.ExprCall) and str(call.function) == SETTING and len(call.arguments) == 2:
            attr.value, help_text = call.arguments
            attr.docstring = griffe.Docstring(ast.literal_eval(str(help_text)), parent=attr)

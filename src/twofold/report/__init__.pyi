from .comparison import write_comparison as write_comparison
from .contact_sheet import contact_sheet as contact_sheet
from .contact_sheet import preview as preview
from .page import write as write

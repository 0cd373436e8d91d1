from .carry import carry_out as carry_out
from .carry import study as study
from .plan import Plan as Plan
from .result import Row as Row
from .result import Study as Study

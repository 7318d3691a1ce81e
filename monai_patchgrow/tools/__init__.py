"""Floor 6: what does the command line call?"""

import sys

from monai_patchgrow.tools.former_names import keep_former_names

keep_former_names(sys.modules[__name__])

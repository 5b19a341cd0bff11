/* Pages that only tell of moments. */

import { localize } from "./times.js";

localize();

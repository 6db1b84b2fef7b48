// All pages work without scripts; these avoid reloads, show progress and add keyboard shortcuts.
import { attachClock } from "./clock.js";
import { attachCopy } from "./copy.js";
import { attachDrafts } from "./drafts.js";
import { attachFilters } from "./filters.js";
import { attachGlances } from "./glances.js";
import { attachJob } from "./job.js";
import { attachKeys } from "./keys.js";
import { attachLater } from "./later.js";
import { attachMenus } from "./menus.js";
import { attachNotice } from "./notice.js";
import { attachPlace } from "./place.js";
import { attachReview } from "./review.js";
import { attachScheme } from "./scheme.js";
import { attachTable } from "./table.js";
import { attachUpload } from "./upload.js";

attachDrafts(document); // first, because it restores choices that the others read
attachClock(document);
attachCopy(document);
attachFilters(document);
const glance = attachGlances(document);
attachJob(document);
attachKeys(document);
attachLater(document);
attachMenus(document);
attachNotice(document);
attachPlace(document);
attachReview(document, glance);
attachScheme(document);
attachTable(document);
attachUpload(document);

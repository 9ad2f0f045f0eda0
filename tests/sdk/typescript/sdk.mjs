// The SDK is installed outside of the sources, where its bare name would not be found: SDK_FOLDER says where.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const installed = createRequire(join(process.env.SDK_FOLDER, "package.json"));
const load = (module) => import(pathToFileURL(installed.resolve(`@anthropic-ai/sdk/${module}`)));

export const { default: Anthropic } = await load("index.mjs");
export const { VERSION } = await load("version.mjs");

// The JavaScript SDK, version 3: put, read and list objects, with one client.
"use strict";

const { S3Client, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } =
  require("@aws-sdk/client-s3");
const { setTimeout: pause } = require("node:timers/promises");

const PAUSE_MS = 1000;
const Bucket = process.env.BUCKET;
const Key = "fake-object";

async function main() {
  // No retries: one would hide a call that was refused.
  const s3 = new S3Client({ forcePathStyle: true, maxAttempts: 1 });
  const putReadAndList = async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: "hello" }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }));
    if ((await got.Body.transformToString()) !== "hello") throw new Error("another object");
    const listed = await s3.send(new ListObjectsV2Command({ Bucket }));
    if (listed.KeyCount !== 1) throw new Error(`${listed.KeyCount} objects`);
    console.log("done");
  };

  await putReadAndList();
  const end = performance.now() + Number(process.argv[2]) * 1000;
  while (performance.now() < end) {
    await pause(PAUSE_MS);
    await putReadAndList();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

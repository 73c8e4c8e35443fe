// The lines of a stream that are not empty. (node:readline also ends a line at U+2028, which JSON may hold.)
export async function* linesOf(stream) {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    yield* lines.filter(Boolean);
  }
  if (rest) yield rest;
}

// The same in arrays of `size`.
export async function* batchesOf(stream, size) {
  let batch = [];
  for await (const line of linesOf(stream)) {
    batch.push(line);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

// Makes httpyac check the status that each request names in a comment: `# @status 201`.
module.exports = {
  configureHooks({ hooks }) {
    hooks.onResponse.addHook('status', ({ statusCode }, { httpRegion }) => {
      const wanted = Number(httpRegion.metaData.status);
      const message = `answered ${statusCode}, wanted ${wanted}`;
      const status = statusCode === wanted ? 'SUCCESS' : 'FAILED';
      httpRegion.testResults = [...(httpRegion.testResults ?? []), { message, status }];
    });
  },
};
